"""Sockets that the operator writes in Python, beside the task server's.

    channels_module = "my_app.channels:UserSocket"

The name after the colon is a SocketHandler class; or a dict of paths and such classes; or a
function that gets the endpoint and returns one of both. The function may keep the endpoint, to
broadcast or to make a Presence.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
import traceback
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from phoenix_compat.bounded import brief
from phoenix_compat.endpoint import Endpoint, LongPollOptions, WebSocketOptions
from phoenix_compat.errors import ChannelDefinitionError, ConfigError
from phoenix_compat.socket import SocketHandler

_NAME: Final = "channels_module"
_TAKEN: Final = ("/api/", "/console/", "/docs/", "/files/", "/metrics/", "/socket/", "/webhooks/")
"""Paths of the task server, with everything below them."""


async def add_own_sockets(
    endpoint: Endpoint,
    name: str,
    path: str,
    *,
    websocket: WebSocketOptions,
    longpoll: LongPollOptions,
) -> None:
    """Mount the sockets that a setting names.

    Args:
        name: the setting `channels_module`.
        path: where a class is mounted; a dict has paths of its own.

    Raises:
        ConfigError: what cannot be imported, or is not a socket, and what to write instead.
    """
    found = await asyncio.to_thread(_loaded, name)
    if inspect.isfunction(found):
        found = found(endpoint)
    _mount(endpoint, _sockets(found, name, path), websocket, longpoll)


def check_own_sockets(name: str | None, path: str) -> None:
    """Check the setting as far as that is possible without a server; blocking.

    Raises:
        ConfigError: see `add_own_sockets`.
    """
    if name is None:
        return
    found = _loaded(name)
    if not inspect.isfunction(found):
        sockets = _sockets(found, name, path)
        _mount(Endpoint(), sockets, WebSocketOptions(), LongPollOptions())


def _mount(
    endpoint: Endpoint,
    sockets: Mapping[Any, Any],
    websocket: WebSocketOptions,
    longpoll: LongPollOptions,
) -> None:
    for where, handler in sockets.items():
        try:
            endpoint.socket(where, handler, websocket=websocket, longpoll=longpoll, auth_token=True)
        except (ChannelDefinitionError, ConfigError) as error:
            raise ConfigError(f"{_NAME}: {error}") from error


def _sockets(found: object, name: str, path: str) -> Mapping[Any, Any]:
    """What was found, as paths and classes, which the endpoint checks. Raises ConfigError."""
    if isinstance(found, Mapping) and found:
        sockets: Mapping[Any, Any] = found
    elif isinstance(found, type) and issubclass(found, SocketHandler):
        sockets = {path: found}
    else:
        raise ConfigError(
            f"{_NAME}: {name} is {brief(found)}, not a socket; name a class "
            '`class UserSocket(SocketHandler)`, a dict such as {"/chat": UserSocket}, or a '
            "function `def sockets(endpoint)` that returns one of them"
        )
    for where in sockets:
        if f"{where}/".startswith(_TAKEN):
            raise ConfigError(f"{_NAME}: the path {where!r} is the task server's; choose another")
    return sockets


def _loaded(name: str) -> Any:
    module_name, _, attribute = name.partition(":")
    module = _imported(module_name)
    found: Any = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
        if found is None:
            raise ConfigError(
                f"{_NAME}: the module {module_name} has no {attribute}{_suggestion(module)}"
            )
    return found


def _imported(name: str) -> ModuleType:
    """Import a module from the working directory, or an installed one."""
    folder = os.getcwd()  # noqa: PTH109 - sys.path has texts
    if folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, folder)
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _failed(name, error) from error
        raise ConfigError(
            f"{_NAME}: there is no module {error.name}; it is searched for in {folder} and among "
            "the installed packages. Start the server in the folder that contains it, or install it"
        ) from error
    except Exception as error:  # a module may raise anything
        raise _failed(name, error) from error


def _failed(name: str, error: Exception) -> ConfigError:
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    if isinstance(error, SyntaxError):
        where = f" ({error.filename}, line {error.lineno})"
    kind = type(error).__name__
    return ConfigError(f"{_NAME}: the import of {name} failed: {kind}: {error}{where}")


def _suggestion(module: ModuleType) -> str:
    classes = [
        name
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, SocketHandler)
        and value is not SocketHandler
    ]
    return f"; it has {', '.join(sorted(classes))}" if classes else ""
