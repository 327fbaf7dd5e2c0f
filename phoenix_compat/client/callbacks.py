"""The app's callbacks: plain functions, whose errors stay out of the client."""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from phoenix_compat.client.counters import ClientCounters
from phoenix_compat.client.errors import MisuseError

Callback: TypeAlias = Callable[..., object]
Remove: TypeAlias = Callable[[], None]

log: Final = logging.getLogger("phoenix_compat.client")


class Callbacks:
    """Functions of the app, in the order in which they were added."""

    __slots__ = ("_counters", "_functions")

    def __init__(self, counters: ClientCounters) -> None:
        self._counters = counters
        self._functions: tuple[Callback, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._functions)

    def add(self, function: Callback) -> Remove:
        """Call the function from now on; call the result to end that.

        Raises:
            MisuseError: it is a coroutine function.
        """
        if inspect.iscoroutinefunction(function):
            raise MisuseError(
                "callbacks are plain functions; to await, use `async for message in channel`"
            )
        self._functions = (*self._functions, function)

        def remove() -> None:
            self._functions = tuple(one for one in self._functions if one is not function)

        return remove

    def call(self, *arguments: Any) -> None:
        """Call all of them. An exception is counted, and logged without its text."""
        for function in self._functions:
            try:
                function(*arguments)
            except Exception as error:  # noqa: BLE001 - the app's function may raise anything
                self._counters.callback_errors += 1
                # The text of an exception may quote the payload.
                log.error(  # noqa: TRY400
                    "a callback raised %s at %s", type(error).__name__, place_of(error)
                )


def place_of(error: Exception) -> str:
    """Where an exception was raised."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno}"
