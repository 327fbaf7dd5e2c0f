"""The body of POST /api/broadcast and its answer.

`backends.publish_body` checks the body. Its errors count bytes and name the message of a batch,
which these models do not.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from phoenix_compat.server.http.schemas.answer import Answer


class MessageToPublish(BaseModel):
    """One message; further keys are ignored."""

    topic: str = Field(
        min_length=1, max_length=255, description="One that `publish_topics` allows; in bytes."
    )
    event: str = Field(
        min_length=1,
        max_length=255,
        json_schema_extra={"not": {"pattern": "^phx_"}},
        description="Events that begin with `phx_` are refused.",
    )
    payload: dict[str, Any] = Field(description="At most 64 KiB of JSON.")


class BatchToPublish(BaseModel):
    """Several messages, which are sent in their order, all or none."""

    messages: list[MessageToPublish] = Field(min_length=1, max_length=100)


class Published(Answer):
    """That messages were handed to the clients of this process, and to those of the others."""

    published: int = Field(ge=1, description="How many messages.")
