"""The conformance suite: the cases, the connections they are played over, and the runner.

Start with `runner`; `cases` says what a case is. Reports of a run are in `conformance.report`.
"""
