"""Runs the commands: `python server.py` is the same as `phoenix-compat`."""

from phoenix_compat.__main__ import main

if __name__ == "__main__":
    main()
