"""PostgreSQL's texts of the statements by which several nodes share a database.

Its own clock decides, and not the time at which the transaction began, because that may have waited
for others. No statement here waits for a row that another node has locked, so a node that stands
still in the middle of a transaction holds nobody up.
"""

from __future__ import annotations

from typing import Final

from phoenix_compat.tasks.store.statements import lease_queries

_NOW: Final = "date_trunc('milliseconds', clock_timestamp())"
_UNTIL: Final = f"{_NOW} + make_interval(secs => :lease_s)"
_ACCOUNT: Final = (
    f"SELECT served_owner, state, {_NOW} AS now FROM provider_state WHERE name = 'account'"  # noqa: S608 - our own text
)
_LOCKED: Final = "FOR NO KEY UPDATE SKIP LOCKED"


def _timed(statement: str) -> str:
    return statement.replace(":now", _NOW).replace(":until", _UNTIL)


def _passing_over(statement: str) -> str:
    """An UPDATE of chosen tasks that changes none which another transaction is changing."""
    return _timed(statement).replace(")\nRETURNING", f"\n{_LOCKED})\nRETURNING")


TEXTS: Final[dict[str, str]] = {
    lease_queries.NOW: f"SELECT {_NOW} AS now",
    lease_queries.ADD_ACCOUNT: _timed(lease_queries.ADD_ACCOUNT),
    lease_queries.LOCK_ACCOUNT: f"{_ACCOUNT} {_LOCKED}",
    lease_queries.GET_ACCOUNT: _ACCOUNT,
    lease_queries.CLAIM_TASKS: _passing_over(lease_queries.CLAIM_TASKS),
    lease_queries.TAKE_OVER: _passing_over(lease_queries.TAKE_OVER),
    lease_queries.RENEW: _passing_over(lease_queries.RENEW),
    lease_queries.SEE_NODE: _timed(lease_queries.SEE_NODE),
    lease_queries.LIST_NODES: _timed(lease_queries.LIST_NODES),
    lease_queries.TAKE_ROLE: _timed(lease_queries.TAKE_ROLE),
}
