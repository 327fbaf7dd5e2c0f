"""What other backends get: topics to publish on, and sockets of their own."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from phoenix_compat.protocol.message import PHOENIX_TOPIC
from phoenix_compat.protocol.topic import MAX_TOPIC_BYTES
from phoenix_compat.server.process.addresses import is_loopback_name
from phoenix_compat.server.process.settings.part import SettingsPart

OWNER: Final = "{owner}"
"""In a pattern it stands for the owner of the client that joins."""
TASK_EVENTS: Final = ("queued", "running", "completed", "failed")
"""The states of tasks that webhooks can get."""
MAX_WEBHOOKS: Final = 20

_SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what secrets begin with
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_MIN_SECRET_BYTES: Final = 24
_MAX_SECRET_BYTES: Final = 64
"""What Standard Webhooks recommends."""
_MAX_URL_CHARS: Final = 2_048
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


def _is_secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value().removeprefix(_SECRET_PREFIX)
    try:
        size_bytes = len(b64decode(text + "==", validate=False)) if _BASE64.fullmatch(text) else 0
    except ValueError:
        size_bytes = 0
    if not _MIN_SECRET_BYTES <= size_bytes <= _MAX_SECRET_BYTES:
        raise ValueError(
            f'secret must be "{_SECRET_PREFIX}" and the base64 of {_MIN_SECRET_BYTES} to '
            f"{_MAX_SECRET_BYTES} random bytes, as from: openssl rand -base64 32"
        )
    return secret


def _is_event(event: str) -> str:
    if event not in TASK_EVENTS:
        raise ValueError(f"events: {event[:40]!r} must be one of {', '.join(TASK_EVENTS)}")
    return event


def _is_whole_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return has_host and parts.scheme in {"http", "https"} and parts.username is None


def _is_webhook_url(url: str) -> str:
    if len(url) > _MAX_URL_CHARS or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"url must be an address of at most {_MAX_URL_CHARS} ASCII characters")
    if not _is_whole_url(url):
        raise ValueError('url must be like "https://example.com/hooks", without a user name')
    return url


class TaskWebhook(BaseModel):
    """A receiver of events of tasks."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: Annotated[str, AfterValidator(_is_webhook_url)]
    secret: Annotated[SecretStr, AfterValidator(_is_secret)]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = "default"
    events: tuple[Annotated[str, AfterValidator(_is_event)], ...] = ("completed", "failed")
    allow_private: bool = False

    def __repr__(self) -> str:
        """As it is written in the file, without the secret; for `config show`."""
        events = ", ".join(f'"{event}"' for event in self.events)
        allow = ", allow_private = true" if self.allow_private else ""
        return (
            f'{{ name = "{self.name}", url = "{self.url}", secret = "{self.secret}", '
            f"events = [{events}]{allow} }}"
        )

    @model_validator(mode="after")
    def _is_public(self) -> Self:
        parts = urlsplit(self.url)
        if self.allow_private:
            return self
        if parts.scheme != "https":
            raise ValueError("url must begin with https://, or allow_private must be true")
        host = parts.hostname or ""
        if is_loopback_name(host) or _is_private_address(host):
            raise ValueError("url is a private address; choose another, or set allow_private")
        return self


def _is_private_address(host: str) -> bool:
    """Whether a host is an IP address that is not public; names are checked when they are used."""
    from phoenix_compat.tasks.archive.download_hosts import is_public  # noqa: PLC0415 - with aiohttp

    try:
        return not is_public(host)
    except ValueError:
        return False


def _have_names(webhooks: tuple[TaskWebhook, ...]) -> tuple[TaskWebhook, ...]:
    names = [webhook.name for webhook in webhooks]
    if len(set(names)) < len(names):
        raise ValueError("each webhook needs a name of its own")
    return webhooks


class BackendSettings(SettingsPart):
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
    on_task_webhooks: Annotated[
        tuple[TaskWebhook, ...], AfterValidator(_have_names), Field(max_length=MAX_WEBHOOKS)
    ] = Field(
        (),
        description="receivers of events of tasks: tables with url, secret, and perhaps name, "
        "events and allow_private; see docs/other-backends.md",
    )
