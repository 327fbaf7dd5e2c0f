"""The body of POST /api/broadcast: one message, or a batch."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from phoenix_compat.errors import EncodeError
from phoenix_compat.protocol import jason
from phoenix_compat.protocol.topic import MAX_TOPIC_BYTES
from phoenix_compat.server.http.problem import ProblemError
from phoenix_compat.server.http.tasks.arguments import validated

MAX_MESSAGES: Final = 100
MAX_PAYLOAD_BYTES: Final = 64 * 1024
"""The limit for the JSON of one payload."""

_RESERVED_EVENTS: Final = "phx_"


def _is_name(text: str) -> str:
    size_bytes = len(text.encode())
    if not 0 < size_bytes <= MAX_TOPIC_BYTES:
        raise ValueError(f"must have 1 to {MAX_TOPIC_BYTES} bytes")
    return text


def _is_event(event: str) -> str:
    if event.startswith(_RESERVED_EVENTS):
        raise ValueError(f'must not begin with "{_RESERVED_EVENTS}", which the protocol uses')
    return event


class PublishedMessage(BaseModel):
    """One message; other keys are ignored."""

    model_config = ConfigDict(extra="ignore", strict=True, defer_build=True)

    topic: Annotated[str, AfterValidator(_is_name)] = Field(examples=["room:lobby"])
    event: Annotated[str, AfterValidator(_is_name), AfterValidator(_is_event)] = Field(
        examples=["new_msg"]
    )
    payload: dict[str, Any] = Field(examples=[{"body": "hello"}])


class PublishedBatch(BaseModel):
    """Several messages, which are sent in their order; other keys are ignored."""

    model_config = ConfigDict(extra="ignore", strict=True, defer_build=True)

    messages: list[Any]


def is_batch(body: object) -> bool:
    """Whether a body is a batch, and not one message."""
    return isinstance(body, dict) and "messages" in body


def published_messages(body: object) -> list[PublishedMessage]:
    """The messages of a body; a batch is valid as a whole or not at all.

    Raises:
        ProblemError: 422, it is neither a message nor a batch, or a message is invalid. In a batch
            the field names the message: "messages.3.topic".
    """
    if not is_batch(body):
        return [_checked(body, "")]
    batch = validated(PublishedBatch, body).messages
    if not 0 < len(batch) <= MAX_MESSAGES:
        raise _invalid("messages", f"must have 1 to {MAX_MESSAGES} messages, not {len(batch)}")
    return [_checked(entry, f"messages.{index}.") for index, entry in enumerate(batch)]


def _checked(entry: object, where: str) -> PublishedMessage:
    if where and not isinstance(entry, dict):
        raise _invalid(where.removesuffix("."), "must be a JSON object")
    try:
        message = validated(PublishedMessage, entry)
    except ProblemError as problem:
        errors = tuple((where + field, reason) for field, reason in problem.errors)
        field, reason = errors[0]
        raise ProblemError(422, problem.word, f"{field}: {reason}", errors=errors) from problem
    try:
        size_bytes = len(jason.encode(message.payload))
    except EncodeError as error:
        raise _invalid(f"{where}payload", f"cannot be encoded: {error}") from error
    if size_bytes > MAX_PAYLOAD_BYTES:
        reason = f"may have at most {MAX_PAYLOAD_BYTES} bytes of JSON, not {size_bytes}"
        raise _invalid(f"{where}payload", reason)
    return message


def _invalid(field: str, reason: str) -> ProblemError:
    return ProblemError(422, "invalid-input", f"{field}: {reason}", errors=((field, reason),))
