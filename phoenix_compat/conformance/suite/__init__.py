"""The conformance suite: cases, the connections they are played over, and the runner.

Start with `runner`; `cases` says what a case is.
"""
