"""Runs the server: `python server.py` is `phoenix-compat serve`. Other commands work too."""

from phoenix_compat.__main__ import serve_by_default

if __name__ == "__main__":
    serve_by_default()
