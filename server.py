"""The front door: `python server.py` is `phoenix-compat serve`."""

from phoenix_compat.__main__ import main

if __name__ == "__main__":
    main()
