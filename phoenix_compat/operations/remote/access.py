"""Finds the server that a command talks to, and the credential for it.

    --url, or PHOENIX_COMPAT_URL      that server, with the key of --key-file or PHOENIX_COMPAT_KEY
    a key, but no URL                 the server of this configuration, with that key
    neither                           the running server of this data directory lends a key over its
                                      control socket, and says where it listens

Only the user who runs the server, and root, may use the control socket. For others the server of
the configuration is tried with `client_key_file`, or without a credential.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import msgspec

from phoenix_compat.client.session import new_session
from phoenix_compat.errors import ConfigError, PhoenixCompatError
from phoenix_compat.operations.probe import ANY_ADDRESS, Address, GivenValues
from phoenix_compat.redaction import live_secrets
from phoenix_compat.server.control.access_commands import LEND, Access
from phoenix_compat.server.control.client import NotListeningError, send_command
from phoenix_compat.server.control.messages import SOCKET_NAME, ControlError
from phoenix_compat.server.process.config.config_file import KEY_VARIABLE, URL_VARIABLE

MAX_CREDENTIAL_BYTES: Final = 8 * 1024
"""As many as a server reads."""

_DEFAULT_DATA_DIR: Final = Path("data")
_CONTROL_TIMEOUT_S: Final = 5.0
_UNIX: Final = "unix:"
_HOST_OF_UNIX: Final = "http://localhost"
_SCHEMES: Final = {"ws": "http", "wss": "https"}


class RemoteError(PhoenixCompatError):
    """The server cannot be used, or refused; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A server, and how to be let in.

    Attributes:
        url: its URL, without a slash at the end; over a Unix socket the host is localhost.
        unix_socket: the path of its Unix socket; None to connect to the host of the URL.
        credential: called for each connection; None is no credential.
        remedy: what to do if the server asks for a credential or refuses it.
    """

    url: str
    unix_socket: str | None
    credential: Callable[[], Awaitable[str | None]]
    remedy: str

    @property
    def name(self) -> str:
        """How to call it in messages."""
        return self.url if self.unix_socket is None else f"{_UNIX}{self.unix_socket}"

    def session(self, **options: Any) -> aiohttp.ClientSession:
        """A new session that connects to it; see `client.new_session`."""
        if self.unix_socket is not None:
            options["connector"] = aiohttp.UnixConnector(self.unix_socket)
        return new_session(**options)


async def find_server(
    url: str | None,
    credential: str | None,
    flags: Mapping[str, Any],
    config: Path | None,
    environment: Mapping[str, str] = os.environ,
) -> Remote:
    """Find the server that is meant, and the credential for it.

    Args:
        url: given by an option.
        credential: the same.
        flags: settings that were given by options, such as `data_dir`.
        config: the configuration file that was named.

    Raises:
        RemoteError: the server at the control socket cannot lend a key now.
        ConfigError: the configuration file cannot be read, or a value in it cannot be used.
    """
    credential = credential or environment.get(KEY_VARIABLE) or None
    if credential is not None:
        check_credential(credential, KEY_VARIABLE)
        live_secrets.register(credential)
    url = url or environment.get(URL_VARIABLE) or None
    if url is not None:
        return _given(_base_url(url, URL_VARIABLE), None, credential)
    values = await asyncio.to_thread(GivenValues, flags, config, environment)
    if credential is None:
        socket = (values.path("data_dir") or _DEFAULT_DATA_DIR) / SOCKET_NAME
        access = await _lent(socket)
        if isinstance(access, Access):
            return _lender(socket, access, values)
        credential = await asyncio.to_thread(_client_key, values)
    address = values.address()
    return _given(_url_of(address), address.unix_socket, credential, is_local=True)


def check_credential(text: str, where: str) -> None:
    """Check that a text can stand in a header.

    Raises:
        ConfigError: it cannot; `where` names what it comes from.
    """
    if not text or len(text) > MAX_CREDENTIAL_BYTES or not all("!" <= one <= "~" for one in text):
        raise ConfigError(f"{where} must contain one key or token and nothing else")


async def _lent(socket: Path) -> Access | None:
    """A lent key; None if the control socket cannot be used.

    Raises:
        RemoteError: a server is there, and does not lend one.
    """
    try:
        answer = await send_command(socket, LEND, {}, timeout_s=_CONTROL_TIMEOUT_S)
        access = msgspec.convert(answer, Access)
    except NotListeningError:
        return None
    except ControlError as error:
        if isinstance(error.__cause__, PermissionError) or "may send commands" in str(error):
            return None
        raise RemoteError(str(error)) from error
    except msgspec.ValidationError as error:
        raise RemoteError(
            "the running server has another version than this program; restart it"
        ) from error
    live_secrets.register(access.key)
    return access


def _lender(socket: Path, access: Access, values: GivenValues) -> Remote:
    first: list[str] = [access.key]

    async def credential() -> str | None:
        """The first key, then a new one for each connection: the server may have been restarted."""
        if first:
            return first.pop()
        try:
            found = await _lent(socket)
        except RemoteError:
            return None
        return None if found is None else found.key

    remedy = "restart the server, and try again"
    if access.url is None:
        address = values.address()
        url, unix_socket = _url_of(address), address.unix_socket
    elif access.url.startswith(_UNIX):
        url, unix_socket = _HOST_OF_UNIX, access.url.removeprefix(_UNIX)
    else:
        url, unix_socket = _reachable(access.url), None
    return Remote(url=url, unix_socket=unix_socket, credential=credential, remedy=remedy)


def _given(
    url: str, unix_socket: str | None, credential: str | None, *, is_local: bool = False
) -> Remote:
    async def same() -> str | None:
        return credential

    remedy = "check the key"
    if credential is None:
        remedy = "name a file that contains a key: --key-file FILE"
        if is_local:
            remedy += "; or run this command as the user who runs the server, or as root"
    return Remote(url=url, unix_socket=unix_socket, credential=same, remedy=remedy)


def _client_key(values: GivenValues) -> str | None:
    """The key in the file that the setting `client_key_file` names."""
    path = values.path("client_key_file")
    if path is None:
        return None
    written = values.value("client_key_file")[1]
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CREDENTIAL_BYTES + 1).decode("ascii", "replace").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "this is not a path"
        raise ConfigError(f"{written}: the file cannot be read: {reason}; correct it") from error
    check_credential(text, f"the file of {written}")
    live_secrets.register(text)
    return text


def _url_of(address: Address) -> str:
    return _HOST_OF_UNIX if address.unix_socket is not None else str(address)


def _reachable(url: str) -> str:
    """The URL, with this machine in place of "all addresses"."""
    parts = urlsplit(url)
    host = ANY_ADDRESS.get(parts.hostname or "", parts.hostname or "")
    return str(Address(host, parts.port or 0))


def _base_url(url: str, where: str) -> str:
    parts = urlsplit(url)
    scheme = _SCHEMES.get(parts.scheme, parts.scheme)
    if scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(f"{where}: {url!r} is not the URL of a server")
    return urlunsplit(parts._replace(scheme=scheme, query="", fragment="")).rstrip("/")
