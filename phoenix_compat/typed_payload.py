"""Converts payloads to the types that `@on(event, type)` and `@on_join(type)` name.

    bytes                 takes a binary payload as it is
    a pydantic model      is found by its method `model_validate`; pydantic is not imported
    every other type      is converted by msgspec: a Struct, dataclass, TypedDict, int, list[int] …

A type is checked once, when the class of the channel is created. A payload that does not fit is an
InvalidPayloadError; its `result` is the reply to the client.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from functools import partial, reduce, wraps
from types import UnionType
from typing import Any, Final, TypeAlias, Union, get_args, get_origin

import msgspec

from phoenix_compat.bounded import brief, plain
from phoenix_compat.protocol.message import INVALID_PAYLOAD, Payload
from phoenix_compat.result import Result, error

Converter: TypeAlias = Callable[[Payload], Any]
"""Converts a payload, or raises InvalidPayloadError."""

USABLE: Final = (
    "a msgspec Struct, a dataclass, a TypedDict, a pydantic model, bytes for binary payloads, or "
    "another type that msgspec converts, such as int or list[int]"
)
"""What can be written as a type, for error messages."""

_TYPE_ATTRIBUTE: Final = "__phoenix_payload_type__"

_AT: Final = re.compile(r" - at (?:`key` in )?`\$(.*)`$", re.DOTALL)
"""Where msgspec found the mistake: `` - at `$.items[0].body` ``."""
_NAMED: Final = re.compile(
    r"^Object (?:missing required|contains unknown) field `(.*)`$", re.DOTALL
)
"""The mistakes whose field is in the sentence and not in the path."""


class InvalidPayloadError(ValueError):
    """A payload does not have the declared type.

    Attributes:
        field: where: "body", "items[0].body", or "" for the payload as a whole.
        message: what is expected there.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message

    @property
    def result(self) -> Result:
        """The reply: `{"reason": "invalid_payload", "field": …, "message": …}`, shortened."""
        return error(reason=INVALID_PAYLOAD, field=plain(self.field), message=plain(self.message))


class PayloadType:
    """A type that can be used for payloads.

    Args:
        declared: the type.

    Attributes:
        declared: the same.
        convert: converts a payload to it.

    Raises:
        TypeError: the type cannot be used; the text is the reason.
    """

    __slots__ = ("convert", "declared")

    def __init__(self, declared: Any) -> None:
        self.declared = declared
        self.convert = _converter(declared)

    def converting(self, method: Callable[..., Any]) -> Callable[[Any, Payload, Any], Any]:
        """The method `(self, payload, socket)`, called with the converted payload."""
        convert = self.convert

        @wraps(method)
        def handle(channel: Any, payload: Payload, socket: Any) -> Any:
            return method(channel, convert(payload), socket)

        return handle


def mark_type(method: Any, declared: Any) -> None:
    """Remember the type of a method's payload."""
    setattr(method, _TYPE_ATTRIBUTE, (declared,))


def marked_type(cls: type, name: str, event_attribute: str) -> tuple[Any] | None:
    """The type that the method `name` of a class is marked with; None if it has none.

    A method that overrides another keeps its type, unless it is marked again.

    Args:
        event_attribute: an attribute that every method has that is marked for an event.
    """
    for method in (vars(base).get(name) for base in cls.__mro__):
        marked: tuple[Any] | None = getattr(method, _TYPE_ATTRIBUTE, None)
        if marked is not None or hasattr(method, event_attribute):
            return marked
    return None


def type_name(declared: Any) -> str:
    """A type as its author wrote it, for error messages and log lines."""
    if isinstance(declared, type) and not get_args(declared):
        return declared.__qualname__
    return brief(declared) if isinstance(declared, str) else str(declared).replace("typing.", "")


def is_model(declared: Any) -> bool:
    """Whether this is a pydantic model, of version 2 or newer."""
    return (
        isinstance(declared, type)
        and callable(getattr(declared, "model_validate", None))
        and callable(getattr(declared, "model_json_schema", None))
    )


def without_bytes(declared: Any) -> Any:
    """The type for payloads of JSON: what a union has besides `bytes`; None for `bytes` itself."""
    if declared is bytes:
        return None
    members = get_args(declared) if get_origin(declared) in {Union, UnionType} else ()
    if bytes not in members:
        return declared
    return reduce(operator.or_, (member for member in members if member is not bytes))


def _converter(declared: Any) -> Converter:
    if declared is bytes:
        return _take_bytes
    if is_model(declared):
        return partial(_validate, declared)
    others = without_bytes(declared)
    if others is not declared:
        return partial(_take_bytes_or, _converter(others))
    _check(declared)
    return partial(_convert, declared)


def _take_bytes(payload: Payload) -> bytes:
    if isinstance(payload, bytes):
        return payload
    raise InvalidPayloadError("", "Expected a binary payload, got JSON")


def _take_bytes_or(convert: Converter, payload: Payload) -> Any:
    return payload if isinstance(payload, bytes) else convert(payload)


# msgspec.

_SETS: Final = (msgspec.inspect.SetType, msgspec.inspect.FrozenSetType)
_UNHASHABLE: Final = (
    msgspec.inspect.ListType,
    msgspec.inspect.SetType,
    msgspec.inspect.DictType,
    msgspec.inspect.TypedDictType,
)


def _check(declared: Any) -> None:
    """Raise TypeError unless msgspec can convert to this type."""
    try:
        info = msgspec.inspect.type_info(declared)
    except NameError as mistake:
        raise TypeError(f"{mistake}; define it in its module, above the channel") from mistake
    for found in _parts(info):
        cls = getattr(found, "cls", None)
        if isinstance(found, msgspec.inspect.CustomType) and not is_model(cls):
            raise TypeError(f"msgspec cannot convert to {type_name(cls)}")
        if isinstance(found, _SETS) and isinstance(found.item_type, _UNHASHABLE):
            raise TypeError("the items of a set must be hashable; write a list")
        if hasattr(cls, "__pydantic_validator__") and not is_model(cls):
            raise TypeError(
                f"{type_name(cls)} is a pydantic dataclass, whose validators msgspec does not "
                "run; write a pydantic model, or a dataclass of the standard library"
            )


def _parts(info: Any) -> Iterator[Any]:
    """A description of msgspec.inspect and all that it consists of; types may be recursive."""
    seen: set[int] = set()
    left = [info]
    while left:
        part = left.pop()
        if isinstance(part, tuple):
            left.extend(part)
        elif isinstance(part, msgspec.inspect.Type | msgspec.inspect.Field):
            if id(part) in seen:
                continue
            seen.add(id(part))
            yield part
            left.extend(getattr(part, name) for name in part.__struct_fields__)


def _convert(declared: Any, payload: Payload) -> Any:
    try:
        return msgspec.convert(payload, declared, str_keys=True, dec_hook=_validate)
    except msgspec.ValidationError as mistake:
        raise _refusal(mistake) from mistake
    except RecursionError as mistake:
        raise InvalidPayloadError("", "nested too deep") from mistake
    except TypeError as mistake:
        if not str(mistake).startswith("unhashable"):
            raise
        raise InvalidPayloadError("", "Expected hashable items") from mistake


def _refusal(mistake: msgspec.ValidationError) -> InvalidPayloadError:
    text, cause = str(mistake), mistake.__cause__
    # What a validator raised may contain anything; only the path after it is msgspec's.
    start = len(str(cause)) if cause is not None and text.startswith(str(cause)) else 0
    at = _AT.search(text, start)
    path = at[1] if at is not None else ""
    message = text[: at.start()] if at is not None else text
    if isinstance(cause, InvalidPayloadError):
        return InvalidPayloadError(_joined(path, cause.field), cause.message)
    named = _NAMED.match(message) if cause is None else None
    return InvalidPayloadError(_joined(path, named[1] if named is not None else ""), message)


def _joined(path: str, field: str) -> str:
    """A field inside of a path: `.items[0]` and `body` are `items[0].body`."""
    separator = "." if field and not field.startswith("[") else ""
    return f"{path}{separator}{field}".removeprefix(".")


# pydantic.


def _validate(model: Any, payload: Payload) -> Any:
    """Convert to a pydantic model; also msgspec's `dec_hook`, for models inside of other types."""
    if isinstance(payload, bytes):
        raise InvalidPayloadError("", "Expected JSON, got a binary payload")
    try:
        return model.model_validate(payload)
    except ValueError as mistake:
        errors = getattr(mistake, "errors", None)
        if not callable(errors):
            raise
        first = errors(include_url=False, include_context=False, include_input=False)[0]
        field = ""
        for key in first["loc"]:
            field = _joined(field, f"[{key}]" if isinstance(key, int) else str(key))
        raise InvalidPayloadError(field, str(first["msg"])) from mistake
