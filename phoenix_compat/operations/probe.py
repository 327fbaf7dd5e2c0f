"""Asks a running server how it is, without anything but the standard library.

The settings are not checked here: that is what the server did when it started.
"""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from phoenix_compat.server.process.config_file import (
    DEFAULT_HOST,
    DEFAULT_PORT,
    find_config_file,
    read_config_file,
)

_PREFIX: Final = "PHOENIX_COMPAT_"
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nobody listens here
_MAX_ANSWER_BYTES: Final = 65_536


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
    """Where the server of these settings listens, seen from this machine; blocking.

    Raises:
        ConfigError: the configuration file cannot be read.
        ValueError: the port is no number.
    """
    path = find_config_file(config, environment)
    file = {} if path is None else read_config_file(path)

    def value(name: str) -> Any:
        if flags.get(name) is not None:
            return flags[name]
        if (variable := _PREFIX + name.upper()) in environment:
            return environment[variable]
        if name == "unix_socket" and path is not None and name in file:
            return path.parent / str(file[name])
        return file.get(name)

    host = str(value("host") or DEFAULT_HOST)
    port = value("port")
    unix_socket = value("unix_socket")
    return Address(
        _EVERYWHERE.get(host, host),
        DEFAULT_PORT if port is None else int(port),
        None if unix_socket is None else str(unix_socket),
    )


def probe(address: Address, path: str, timeout_s: float) -> tuple[int, str]:
    """GET a path; status and text of the answer; blocking.

    Raises:
        OSError: nobody answers in time; the text says where.
    """
    connection = _Connection(address, timeout_s)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        text = answer.read(_MAX_ANSWER_BYTES).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise OSError(f"{address} does not answer: {error!r}") from error
    finally:
        connection.close()
    return answer.status, text


class _Connection(http.client.HTTPConnection):
    """A connection that may be one to a Unix socket."""

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
