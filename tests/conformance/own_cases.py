"""The cases of the suite, and those in which this server differs from Phoenix on purpose."""

from __future__ import annotations

from pathlib import Path

from phoenix_compat.conformance.suite.expected import ExpectedFailures
from phoenix_compat.conformance.suite.runner import load_suite

CASES = load_suite()
EXPECTED_FAILURES = ExpectedFailures.read(Path(__file__).with_name("expected_failures.txt"), CASES)
PASSING = [case for case in CASES if not EXPECTED_FAILURES.names(case)]

DECOMPRESSED = [case for case in PASSING if case.id == "longpoll/post/content-encoding"]
"""Those in which aiohttp's own server would decompress a body, so that it is answered with 415."""

PASSING_ON_AIOHTTP = [case for case in PASSING if case not in DECOMPRESSED]
"""Those that pass on aiohttp's own server, too."""
