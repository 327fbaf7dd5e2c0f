"""Cases that are played against a scripted server."""

from __future__ import annotations

from typing import Any

from phoenix_compat.conformance.suite.cases import Case, parse_case
from phoenix_compat.conformance.suite.runner import (
    CaseResult,
    run_case,
)
from tests.conformance.suite.fake_server import (
    WELCOME,
    Answers,
    FakeServer,
)

QUIET_S = 0.1
LATE_S = 0.25
TOO_LATE_S = 15 * QUIET_S

OPEN = {"op": "open", "query": "vsn=2.0.0", "expect": {"open": {"status": 101, "protocol": None}}}
SILENT_STEPS = [OPEN, {"op": "send", "json": ["?"], "expect": {}}]


def asking(*wanted: dict[str, Any]) -> Case:
    """A case with one connection and one message, which these frames must answer."""
    expect = {"frames": {"a": list(wanted)}} if wanted else {}
    return parse_case(
        {"id": "asking", "steps": [OPEN, {"op": "send", "json": ["?"], "expect": expect}]}
    )


async def judge(
    case: Case, *script: Answers, responses: tuple[bytes, ...] = (WELCOME,)
) -> CaseResult:
    """Play the case against a server that follows the script."""
    async with FakeServer(*script, responses=responses).run() as base_url:
        return await run_case(case, base_url, quiet_s=QUIET_S)
