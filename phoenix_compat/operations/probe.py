"""Requests a status page of a running server, with the standard library alone.

Only the settings that make the address are read; the server has checked all of them at its start.
"""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from phoenix_compat.errors import ConfigError
from phoenix_compat.server.process.config.config_file import (
    DEFAULT_HOST,
    DEFAULT_PORT,
    find_config_file,
    read_config_file,
)

_PREFIX: Final = "PHOENIX_COMPAT_"
ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not for listening
_MAX_RESPONSE_BYTES: Final = 65_536
_MAX_PORT: Final = 65_535


PROBE_ERRORS: Final = (OSError, UnicodeError, ValueError, http.client.HTTPException)
"""What `probe` raises: no connection, no host name, a path with a null byte, no HTTP."""


class Address(NamedTuple):
    """Where a server listens: a Unix socket, or a host and a port."""

    host: str
    port: int
    unix_socket: str | None = None

    def __str__(self) -> str:
        if self.unix_socket is not None:
            return f"unix:{self.unix_socket}"
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else self._url

    @property
    def _url(self) -> str:
        return f"http://{self.host}:{self.port}"


def address_of(
    flags: Mapping[str, Any], config: Path | None, environment: Mapping[str, str]
) -> Address:
    """The address of the server with these settings, for clients on this machine; blocking.

    Raises:
        ConfigError: the configuration file cannot be read, or the port is not valid.
    """
    return GivenValues(flags, config, environment).address()


class GivenValues:
    """Single settings as they were given, without a check of the others; blocking.

    Args:
        flags: values by the setting's name; None means that the flag was not given.
        config: the configuration file that was named.

    Raises:
        ConfigError: the configuration file cannot be read.
    """

    def __init__(
        self, flags: Mapping[str, Any], config: Path | None, environment: Mapping[str, str]
    ) -> None:
        self._flags = flags
        self._environment = environment
        path = find_config_file(config, environment)
        self._file = None if path is None else read_config_file(path)

    def value(self, name: str) -> tuple[Any, str]:
        """A value, None if it was not given, and the setting's name as the user wrote it."""
        if self._flags.get(name) is not None:
            return self._flags[name], f"--{name.replace('_', '-')}"
        if self._environment.get(variable := _PREFIX + name.upper()):
            return self._environment[variable], variable
        if self._file is None or name not in self._file.values:
            return None, name
        return self._file.values[name], f"{name} ({self._file.where(name)})"

    def path(self, name: str) -> Path | None:
        """A path; in the file it is relative to the folder of the file."""
        value, written = self.value(name)
        if value is None:
            return None
        if self._file is not None and written.startswith(f"{name} ("):
            return self._file.path.parent / str(value)
        return Path(str(value))

    def address(self) -> Address:
        """Where the server listens, for clients on this machine. Raises ConfigError."""
        host = str(self.value("host")[0] or DEFAULT_HOST)
        unix_socket = self.path("unix_socket")
        return Address(
            ANY_ADDRESS.get(host, host),
            _port(*self.value("port")),
            None if unix_socket is None else str(unix_socket),
        )


def _port(value: object, written: str) -> int:
    if value is None:
        return DEFAULT_PORT
    text = str(value)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= _MAX_PORT:
        # As `serve` says it; but a port of 0 leaves open where the server listens.
        raise ConfigError(f"{written}: must be a whole number from 1 to {_MAX_PORT}, not {value!r}")
    return int(text)


def probe(address: Address, path: str, timeout_s: float) -> tuple[int, str]:
    """Request a path with GET; the status and text of the response. Blocking.

    Raises:
        PROBE_ERRORS: there is no HTTP response in time.
    """
    connection = _Connection(address, timeout_s)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        text = response.read(_MAX_RESPONSE_BYTES).decode("utf-8", "replace")
    finally:
        connection.close()
    return response.status, text


class _Connection(http.client.HTTPConnection):
    """An HTTP connection over TCP or a Unix socket."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        super().__init__(address.host, address.port, timeout=timeout_s)
        self._unix_socket = address.unix_socket

    def connect(self) -> None:
        if self._unix_socket is None:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._unix_socket)
