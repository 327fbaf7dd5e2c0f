"""Checks the callbacks of a class: their parameters, and names that are defined twice."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any

from phoenix_compat.bounded import brief
from phoenix_compat.errors import ChannelDefinitionError


def check_callbacks(cls: type, base: type, names: Iterable[str]) -> None:
    """Check that a class defines these callbacks with the parameters that its base has.

    Raises:
        ChannelDefinitionError: a callback cannot be called as the base's would be.
    """
    for name in names:
        if name in vars(cls):
            check_parameters(cls, name, tuple(inspect.signature(getattr(base, name)).parameters))


def check_parameters(cls: type, name: str, expected: tuple[str, ...]) -> None:
    """Check that a method can be called with these parameters, of which the first is `self`.

    Raises:
        ChannelDefinitionError: it cannot.
    """
    method = inspect.getattr_static(cls, name)
    where = f"{cls.__name__}.{name}"
    line = f"def {name}({', '.join(expected)}):"
    given = expected
    if isinstance(method, staticmethod | classmethod):
        method, given = method.__get__(None, cls), expected[1:]
    if not callable(method):
        raise ChannelDefinitionError(f"{where} is {brief(method)}, not a method: write `{line}`")
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):  # a callable that does not tell its parameters
        return
    try:
        signature.bind(*given)
    except TypeError:
        raise ChannelDefinitionError(
            f"{where} has the wrong parameters {_shown(signature)}: write `{line}`"
        ) from None


def check_event_name(event: object) -> None:
    """Check what `@on` was given.

    Raises:
        ChannelDefinitionError: it is not the name of an event.
    """
    if isinstance(event, str):
        return
    where = getattr(event, "__qualname__", None)
    if callable(event) and isinstance(where, str):
        name = where.rpartition(".")[2]
        raise ChannelDefinitionError(
            f'{where}: @on needs the name of its event: write `@on("{name}")` instead of `@on`'
        )
    raise ChannelDefinitionError(
        f'@on({brief(event)}): the name of an event is a text: write `@on("new_msg")`'
    )


def check_not_replaced(method: Callable[..., Any], marks: str, depth: int = 2) -> None:
    """Check, inside a decorator, that a class does not define a marked method a second time.

    Python keeps only the last method of a name, so the first would never be called.

    Args:
        marks: the attribute that a marked method has; its value is the event.
        depth: how many frames up the body of the class is.

    Raises:
        ChannelDefinitionError: the class has a marked method of this name already.
    """
    body = sys._getframe(depth).f_locals  # noqa: SLF001 - the body of the class that is being made
    if "__qualname__" not in body:  # not the body of a class
        return
    name = getattr(method, "__name__", "")
    event = getattr(body.get(name), marks, None)
    if event is not None:
        raise ChannelDefinitionError(
            f"{body['__qualname__']}: there are two methods {name}(), and the first, "
            f"@on({event!r}), would never be called: give one of them another name"
        )


def _shown(signature: inspect.Signature) -> str:
    names = (str(parameter).partition(":")[0] for parameter in signature.parameters.values())
    return f"({', '.join(name.partition('=')[0].strip() for name in names)})"
