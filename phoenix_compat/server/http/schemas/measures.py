"""The answer of /api/status; `server.metrics.snapshot` makes it."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from phoenix_compat.server.http.schemas.answer import Answer

_Count: TypeAlias = Annotated[int, Field(ge=0)]
_Amount: TypeAlias = Annotated[float, Field(ge=0.0)]


class TaskNumbers(Answer):
    """The tasks, the provider and the money."""

    queued: _Count
    running: _Count
    completed: _Count = Field(description="Counted once a minute, as are failed ones.")
    failed: _Count
    ended_per_minute: _Count = Field(description="Tasks that ended in the last minute.")
    failed_per_minute: _Count = Field(description="Those of them that failed.")
    p50_s: _Amount | None = Field(
        description="Half of the tasks of the last hour took at most this long from the order to "
        "the result, in seconds; null if there were none."
    )
    p95_s: _Amount | None = Field(description="The same for 95 % of them.")
    spend_today_usd: _Amount | None = Field(
        description="The estimated cost of what was ordered this UTC day; null if unknown."
    )
    tasks_today: _Count
    circuit: Literal["closed", "open", "half_open"]
    circuit_reason: str | None = Field(description="Why creates wait, or null.")
    creates_per_minute: _Amount
    archive_bytes: _Count


class Status(Answer):
    """The few numbers that operators look at first, of all processes together."""

    version: str
    up_s: _Amount = Field(description="How long the process that answers has run, in seconds.")
    processes: _Count = Field(description="How many processes answered.")
    missing_processes: _Count = Field(description="How many did not.")
    sockets: _Count
    channels: _Count
    connections: _Count
    frames_received: _Count
    frames_sent: _Count
    outbox_bytes: _Count = Field(description="Bytes that wait for slow clients.")
    loop_lag_s: _Amount = Field(
        description="How late an event loop was in the last ten seconds, at most, in seconds."
    )
    memory_bytes: _Count
    tasks: TaskNumbers | None = Field(
        description="null while no process has the database, or it cannot be read."
    )
