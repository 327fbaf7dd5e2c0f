"""The answers of /healthz and /readyz.

Their counters are objects of whole numbers, which later versions add to.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import ConfigDict, Field

from phoenix_compat.server.http.schemas.answer import Answer

Count: TypeAlias = Annotated[int, Field(ge=0)]


class Health(Answer):
    """That this process is alive, and what it has counted since its start."""

    status: Literal["ok"]
    version: str
    connections: dict[str, Count] = Field(description="Connections: open, the limit, and refused.")
    outputs: dict[str, Count] = Field(description="Texts that are being written by models.")
    rate_limited: dict[str, Count] = Field(description="Requests refused by each rate limit.")
    files: dict[str, Count] = Field(description="Files of clients: stored, and refused.")
    published: dict[str, Count] = Field(description="Messages of other backends.")
    streams: dict[str, Count] = Field(description="Streams of tasks: open, refused and closed.")
    auth: dict[str, Count] | None = Field(
        default=None, description="Credentials; absent if authentication is off."
    )
    node: Count | None = Field(
        default=None, description="The number of the process that answers, of several."
    )
    bus: dict[str, Count] | None = Field(
        default=None, description="What went between the processes, if there are several."
    )


class Provider(Answer):
    """How the provider is doing."""

    circuit: Literal["closed", "open", "half_open"] = Field(
        description="`open` while creates wait because nothing works; then one is tried."
    )
    reason: str | None = Field(description="Why it is open, or null.")
    open_s: float = Field(ge=0.0, description="For how many seconds it has been open.")
    creates_per_minute: float = Field(ge=0.0, description="The present limit of creates.")


class Store(Answer):
    """Whether the database can be used."""

    state: Literal["available", "unavailable"]
    reason: str | None = Field(default=None, description="Why it cannot be used.")


class Bus(Answer):
    """Why this node may miss what others do."""

    state: Literal["unavailable"]
    reason: str


class BackgroundWork(Answer):
    """A task that runs as long as the server."""

    state: Literal["running", "restarting", "done", "stopped"]
    restarts: Count
    reason: str | None = Field(default=None, description="Why it is being started again.")


class Readiness(Answer):
    """Whether tasks are accepted and worked on. It also has counters of the worker."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Count]

    status: Literal["ready", "waiting", "unavailable"] = Field(
        description="`waiting` if only the provider does not work."
    )
    provider: Provider
    store: Store
    bus: Bus | None = Field(default=None, description="If this node hears nothing from others.")
    background: dict[str, BackgroundWork]
    log_lines_left_out: Count
    node: Count | None = Field(
        default=None, description="The number of the process that answers, of several."
    )
