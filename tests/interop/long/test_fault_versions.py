"""Older versions of npm `phoenix` in the scenarios of the fault server, and what each fails in."""

from __future__ import annotations

import pytest

from phoenix_compat.conformance.faults.fault_session import FaultSessions
from tests.interop.long.needed import HERE, require_package
from tests.interop.test_faults import ALL, expected, fault_server, outcomes, settled
from tests.interop.test_phoenix_js import Run, node, run

__all__ = ["fault_server", "node", "run"]  # fixtures

pytestmark = [pytest.mark.long, pytest.mark.node, pytest.mark.timeout(240)]

TIMEOUT_S = 60.0
"""1.3 waits up to 10 s before each try."""
NO_BACKOFF = {"client/reconnect/accept_then_close", "client/reconnect/storm"}
"""The backoff begins anew with each connection."""
BUFFERED = {"client/join/once", *NO_BACKOFF}
"""1.8.16 is the first that drops a buffered join which the rejoin replaces."""
STAYS_AWAY = {"client/reconnect/close_1000", *BUFFERED}
WRONG = {
    "phoenix-1.3": {
        "client/join/once",
        "client/rejoin/refused",
        "client/stale/ignored",
        "client/push/buffered",
        "client/push/expired",
        "client/events/binary",
    },
    "phoenix-1.5": BUFFERED,
    "phoenix-1.6": STAYS_AWAY,
    "phoenix-1.7": STAYS_AWAY,
    "phoenix-1.8": STAYS_AWAY,
}
NOT_SEEN = {
    # No class Presence, and its params cannot be a function.
    "phoenix-1.3": {
        "client/presence/merged",
        "client/presence/renewed",
        "client/reconnect/fresh_token",
    },
}


@pytest.mark.parametrize("name", WRONG)
async def test_older_phoenix_js(
    fault_server: tuple[str, FaultSessions], run: Run, name: str
) -> None:
    """Each version fails in what is known of it, and passes everything else."""
    require_package(name)
    base_url, fault_sessions = fault_server
    not_seen = NOT_SEEN.get(name, set())

    await run("faults.mjs", base_url, name, str(HERE), name)
    report = await settled(fault_sessions, name, ALL - not_seen, TIMEOUT_S)

    assert outcomes(report) == expected(WRONG[name], not_seen)
