"""Runs the suite many times against a server that is known to be right, and counts accusations.

    python -m tests.conformance.accusations --start "start.sh {port}" --runs 20 --busy 6

`__main__` is the command, `servers` starts and ends the server and the busy processes, and `tally`
counts.
"""
