"""What several machines share: the database, and the bus that connects them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from phoenix_compat.server.process.settings.part import SettingsPart, conflict

POSTGRES_SCHEMES: Final = ("postgresql", "postgres")
REDIS_SCHEMES: Final = ("redis", "rediss", "unix")
NATS_SCHEMES: Final = ("nats", "tls")
BUS_SCHEMES: Final = (*REDIS_SCHEMES, *NATS_SCHEMES, *POSTGRES_SCHEMES)
URL_SECRETS: Final = ("database_url", "bus_url")
"""Settings that are URLs with passwords; each also has a setting for a file that contains it."""
MAX_URL_CHARS: Final = 2_048

_MASK: Final = "**********"
_SECRET_PARAMETERS: Final = ("password", "passwd", "sslpassword", "token", "secret")
_PREFIX: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_NOT_IN_URLS: Final = re.compile(r"[^!-~]")


def url_problem(url: str, schemes: tuple[str, ...], example: str) -> str | None:
    """Why a text cannot be the URL of a service, and what to write; None if it can.

    No part of the URL is quoted, because anything in it may be a password.
    """
    if not url:
        return f'is empty; leave it out, or write "{example}"'
    if len(url) > MAX_URL_CHARS:
        return f"is longer than {MAX_URL_CHARS} characters"
    if found := _NOT_IN_URLS.search(url):
        return (
            f"has a character at position {found.start() + 1} that no URL has; in a password write "
            "it with percent signs, as %20 for a space"
        )
    unreadable = (
        "has a host or port that cannot be read; in a password write /, ?, #, @ and : as %2F, %3F, "
        "%23, %40 and %3A"
    )
    try:
        parts = urlsplit(url)
        scheme = parts.scheme
        # A cluster's servers are separated by commas.
        hosts = [urlsplit(f"//{host}") for host in parts.netloc.rpartition("@")[2].split(",")]
        ports = [host.port for host in hosts]
    except ValueError:
        return unreadable
    if scheme not in schemes or not url.lower().startswith(f"{scheme}://"):
        *most, last = (f"{one}://" for one in schemes)
        known = f"{', '.join(most)} or {last}"
        return f'must begin with {known}, as in "{example}"'
    if 0 in ports:
        return "has the port 0"
    if parts.fragment:
        return "has a # outside of its password; in a password write it as %23"
    if not all(host.hostname for host in hosts) and scheme not in {*POSTGRES_SCHEMES, "unix"}:
        return f'has no host; write "{example}"'
    return None


def shown_url(url: str) -> str:
    """A URL for people: without user, password, and parameters that may be secret."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return _MASK
    user = f"{_MASK}@" if "@" in parts.netloc else ""
    query = "?…" if parts.query else ""
    return f"{parts.scheme}://{user}{host}{parts.path}{query}"


def secrets_of_url(url: str) -> Iterator[str]:
    """What must not be shown of a URL: its passwords, as written and meant, and it with them.

    A URL without user and query is shown, since log lines name the service by it. A text that is
    not a URL, such as a path, has no secret: it is refused without being quoted.
    """
    if "://" not in url:
        return
    if shown_url(url) != url:
        yield url
    try:
        parts: SplitResult = urlsplit(url)
        user, _, password = parts.netloc.rpartition("@")[0].partition(":")
        # A token of NATS has no name before it.
        passwords = [password or (user if parts.scheme in NATS_SCHEMES else "")]
        fields = parse_qs(parts.query)
    except ValueError:
        return
    for name, values in fields.items():
        if name.lower() in _SECRET_PARAMETERS:
            passwords += values
    for password in filter(None, passwords):
        yield password
        yield unquote(password)


def _checked(schemes: tuple[str, ...], example: str) -> Callable[[SecretStr], SecretStr]:
    def check(url: SecretStr) -> SecretStr:
        problem = url_problem(url.get_secret_value(), schemes, example)
        if problem is not None:
            raise ValueError(problem)
        return url

    return check


checked_database_url: Final = _checked(POSTGRES_SCHEMES, "postgresql://user:password@host/name")
checked_bus_url: Final = _checked(BUS_SCHEMES, "redis://host:6379")


def _is_prefix(text: str) -> str:
    if _PREFIX.fullmatch(text) is None:
        raise ValueError("must consist of 1 to 32 letters, digits, _ and -")
    return text


class NodeSettings(SettingsPart):
    """The part of `Settings` about this subject."""

    database_url: Annotated[SecretStr, AfterValidator(checked_database_url)] | None = Field(
        None,
        description="the PostgreSQL database that several servers share, as "
        '"postgresql://user:password@host/name"; without it, SQLite in data_dir; see docs/nodes.md',
    )
    database_url_file: Path | None = Field(
        None,
        description="a file that contains this URL and nothing else; use it or database_url, not "
        "both",
    )
    bus_url: Annotated[SecretStr, AfterValidator(checked_bus_url)] | None = Field(
        None,
        description="the Redis, Valkey or NATS server that connects these servers, as "
        '"redis://host:6379" or "nats://host:4222"; without it, their database does',
    )
    bus_url_file: Path | None = Field(
        None, description="a file that contains this URL; use it or bus_url, not both"
    )
    bus_prefix: Annotated[str, AfterValidator(_is_prefix)] = Field(
        "phoenix_compat",
        description="begins all names on the bus; servers that do not belong together and share a "
        "Redis or NATS server need different ones",
    )

    @model_validator(mode="after")
    def _nodes_fit_together(self) -> Self:
        for name in URL_SECRETS:
            file = f"{name}_file"
            if getattr(self, name) is not None and getattr(self, file) is not None:
                raise conflict(
                    f"{{{name}}}: cannot be combined with {{{file}}}; remove one of them",
                    (name, file),
                )
        for name in ("bus_url", "bus_url_file"):
            if getattr(self, name) is not None and not self.is_shared:
                raise conflict(
                    f"{{{name}}}: needs database_url, the PostgreSQL database that the servers "
                    "share; set it, or remove this: the processes of --workers need no such server",
                    (name,),
                )
        return self

    @property
    def is_shared(self) -> bool:
        """Whether this server is one of several on a PostgreSQL database."""
        return self.database_url is not None or self.database_url_file is not None
