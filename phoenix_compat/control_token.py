"""The token of control routes: those that steer the emulator and the conformance server.

The token is in a file that only the user who started the server can read, so no web page and no
other user of the machine can steer it. By default each start makes a new token, in a file that is
named after the port and removed at the end; a program of the same user finds it there. A file that
the user names is kept, or created if it is missing. All functions block.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from phoenix_compat.errors import ConfigError
from phoenix_compat.private_files import make_private_folder, open_private, replaced_privately
from phoenix_compat.redaction import live_secrets

CONTROL_TOKEN_HEADER: Final = "X-Control-Token"  # noqa: S105 - the name of a header
CONTROL_ROUTES_CLOSED: Final = (
    "The control routes need a token: send the header X-Control-Token with the content of the file "
    "that this server named when it started."
)

_SECRET_BYTES: Final = 32
_MIN_CHARS: Final = 16
_MAX_BYTES: Final = 4_096
_OPTION: Final = "--control-token-file"


class ControlToken:
    """The token of a server that is starting, and the file that holds it.

    Attributes:
        secret: the token.
        file: the file; None until `publish`, if no file was named.
    """

    def __init__(self, secret: str, file: Path | None = None) -> None:
        live_secrets.register(secret)
        self.secret = secret
        self.file = file

    def publish(self, server: str, port: int) -> Path:
        """Write the token to the default file of this server, unless a file was named.

        Raises:
            ConfigError: the file cannot be written.
        """
        if self.file is None:
            file = default_file(server, port)
            try:
                file.unlink(missing_ok=True)
                with replaced_privately(file) as writing:
                    writing.write(f"{self.secret}\n".encode())
            except OSError as error:
                raise ConfigError(_cannot_write(file, error.strerror)) from error
            self.file = file
        return self.file

    def remove(self) -> None:
        """Remove the file, if it still holds this token."""
        # Another server may have taken the port and the file meanwhile.
        if self.file is not None:
            with contextlib.suppress(OSError, ConfigError):
                if read_control_token(self.file) == self.secret:
                    self.file.unlink()


@contextlib.contextmanager
def opened_control_token(named: Path | None) -> Iterator[ControlToken]:
    """The token from the named file, or a new one whose file is removed at the end.

    Raises:
        ConfigError: the named file, or the folder of the default one, cannot be used; the text says
            why.
    """
    if named is not None:
        yield ControlToken(_read_or_create(named), named.absolute())
        return
    _make_own_folder(_default_folder())
    token = ControlToken(secrets.token_urlsafe(_SECRET_BYTES))
    try:
        yield token
    finally:
        token.remove()


def default_file(server: str, port: int) -> Path:
    """The file for a server on this port, in a folder that belongs to this user."""
    return _default_folder() / f"{server}-{port}.token"


def read_control_token(file: Path) -> str:
    """The token in a file.

    Raises:
        ConfigError: the file cannot be read, others may read it, or it holds no token.
        FileNotFoundError: the file does not exist.
    """
    try:
        with open(file, "rb", opener=_open_without_waiting) as reading:
            _check_private(file, os.fstat(reading.fileno()))
            data = reading.read(_MAX_BYTES)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError(
            f"{_OPTION}: cannot read {file}: {error.strerror}; give a file that holds the token"
        ) from error
    token = data.decode("ascii", "replace").strip()
    if len(token) < _MIN_CHARS or not token.isascii() or not token.isprintable():
        raise ConfigError(
            f"{_OPTION}: {file} must hold at least {_MIN_CHARS} ASCII characters on one line; "
            "remove the file, and the server makes a new one"
        )
    return token


def control_headers(url: str, server: str, named: Path | None) -> Mapping[str, str]:
    """The header for requests to the control routes of the server at a URL.

    Without a named file the default one is used, but only for a server on this machine: the token
    must not be sent to another one.

    Raises:
        ConfigError: the file cannot be used.
    """
    parts = urlsplit(url)
    if named is None and not _is_loopback(parts.hostname or ""):
        return {}
    try:
        file = named or default_file(server, parts.port or 80)
        return {CONTROL_TOKEN_HEADER: read_control_token(file)}
    except FileNotFoundError as error:
        if named is None:
            return {}
        raise ConfigError(f"{_OPTION}: {named} does not exist; give an existing file") from error


def has_control_token(headers: Mapping[str, str], token: str) -> bool:
    """Whether a request has the token, in X-Control-Token or as a bearer token."""
    scheme, _, bearer = headers.get("Authorization", "").partition(" ")
    given = (headers.get(CONTROL_TOKEN_HEADER, ""), bearer if scheme.lower() == "bearer" else "")
    return any(_is_equal(one.strip(), token) for one in given)


def _is_equal(given: str, token: str) -> bool:
    # in constant time
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode())


def _read_or_create(file: Path) -> str:
    try:
        return read_control_token(file)
    except FileNotFoundError:
        token = secrets.token_urlsafe(_SECRET_BYTES)
    try:
        make_private_folder(file.parent)
        with open_private(file, "xb") as writing:
            writing.write(f"{token}\n".encode())
    except FileExistsError:
        return read_control_token(file)  # another server has just created it
    except OSError as error:
        raise ConfigError(_cannot_write(file, error.strerror)) from error
    return token


def _cannot_write(place: Path, reason: str | None) -> str:
    return f"cannot write the control token to {place}: {reason}; name a file with {_OPTION}"


def _check_private(file: Path, status: os.stat_result) -> None:
    if os.name != "posix":
        return
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{_OPTION}: {file} is not a regular file; give one that holds the token")
    if status.st_uid not in {0, os.geteuid()}:
        raise ConfigError(f"{_OPTION}: {file} belongs to another user; give a file of your own")
    if status.st_mode & 0o027:
        raise ConfigError(f"{_OPTION}: other users may use {file}; chmod 600 {file}")


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe would block


def _default_folder() -> Path:
    # The specification of these variables says that relative paths are ignored.
    for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        folder = Path(os.environ.get(name, ""))
        if folder.is_absolute():
            return folder / "phoenix-compat"
    try:
        return Path.home() / ".local" / "state" / "phoenix-compat"
    except RuntimeError:  # a user without an account, as in a container
        return Path(tempfile.gettempdir(), f"phoenix-compat-control-{os.geteuid()}")


def _make_own_folder(folder: Path) -> None:
    """Create the folder of the default files; in a public place it may be another user's.

    Raises:
        ConfigError: it cannot be created, or other users may use it.
    """
    try:
        make_private_folder(folder)
        status = folder.lstat()
    except OSError as error:
        raise ConfigError(_cannot_write(folder, error.strerror)) from error
    if os.name != "posix":
        return
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise ConfigError(_cannot_write(folder, "it is not a folder of this user"))
    if status.st_mode & 0o027:
        raise ConfigError(_cannot_write(folder, "other users may use it"))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
