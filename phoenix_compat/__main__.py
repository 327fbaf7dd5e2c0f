"""Runs the commands: `python -m phoenix_compat` is the same as `phoenix-compat`."""

from phoenix_compat.cli import main

if __name__ == "__main__":
    main()
