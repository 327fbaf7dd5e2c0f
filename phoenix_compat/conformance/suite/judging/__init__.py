"""Decides what the answers of a server prove: warm-up, time limits, replays, and verdicts.

What was received is compared in `reasons`. Start with `replays`, which plays a failing case again
alone; `doubt` says when a failure proves nothing.
"""
