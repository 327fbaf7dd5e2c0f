"""Reports on a run of the suite: for the terminal, as JSON, JUnit XML, HTML, or a badge.

Start with `summary`, which the other modules format. The reports on clients are in `faults.report`,
those on recordings in `trace.report`.
"""
