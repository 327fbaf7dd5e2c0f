"""What other backends get: topics to publish on, and sockets of their own."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, Field

from phoenix_compat.protocol.message import PHOENIX_TOPIC
from phoenix_compat.protocol.topic import MAX_TOPIC_BYTES

OWNER: Final = "{owner}"
"""In a pattern it stands for the owner of the client that joins."""
_IMPORT: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_OWN_PREFIXES: Final = ("task:", "task_files:", "admin:")


def is_own_topic(topic: str) -> bool:
    """Whether a topic is one of this server's own channels, or of the protocol itself."""
    return topic.startswith(_OWN_PREFIXES) or topic == PHOENIX_TOPIC


def _is_pattern(pattern: str) -> str:
    fixed = pattern.removesuffix("*")
    if not pattern or "*" in fixed:
        raise ValueError(f"{pattern[:40]!r} must be a topic, or end with its only *, as in room:*")
    if len(pattern.encode(errors="surrogatepass")) > MAX_TOPIC_BYTES:
        raise ValueError(f"{pattern[:40]!r} is longer than {MAX_TOPIC_BYTES} bytes")
    if is_own_topic(fixed):
        raise ValueError(f"{pattern[:40]!r} is a topic of this server; choose another name")
    return pattern


def _is_listen_pattern(pattern: str) -> str:
    fixed = pattern.removesuffix(OWNER)
    if "{" in fixed or "}" in fixed:
        raise ValueError(f"{pattern[:40]!r} may have {OWNER} once, at its end, as in inbox:{OWNER}")
    if not fixed:
        raise ValueError(f"{pattern[:40]!r} must begin with a name, as in inbox:{OWNER}")
    _is_pattern(fixed)
    return pattern


def _is_import(name: str) -> str:
    if _IMPORT.fullmatch(name) is None:
        raise ValueError('must name a module and what is in it, as "my_app.channels:UserSocket"')
    return name


class BackendSettings(BaseModel):
    """The part of `Settings` about this subject."""

    publish_topics: tuple[Annotated[str, AfterValidator(_is_pattern)], ...] = Field(
        (),
        description="the topics on which other backends may publish with POST /api/broadcast, "
        'as ["room:*"]; see docs/other-backends.md',
    )
    listen_topics: tuple[Annotated[str, AfterValidator(_is_listen_pattern)], ...] = Field(
        (),
        description="topics of /socket that every client may join to hear what is published, "
        'as ["room:*", "inbox:{owner}"]; {owner} stands for the client\'s own owner',
    )
    channels_module: Annotated[str, AfterValidator(_is_import)] | None = Field(
        None,
        description="the module and name of sockets that you write in Python, as "
        '"my_app.channels:UserSocket"; see docs/other-backends.md',
    )
    channels_path: Annotated[str, Field(min_length=1)] = Field(
        "/channels",
        description="where the socket of channels_module is served, with /websocket or /longpoll "
        "behind",
    )
    max_task_streams: int = Field(
        1_000,
        ge=0,
        description="limit for open streams of tasks (server-sent events) in each process; one "
        "owner may have half of them",
    )
