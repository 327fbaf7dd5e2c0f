"""Words for what a pydantic field must be, in place of pydantic's own error texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

_PREFIX: Final = "Value error, "
"""What pydantic puts before the text of a ValueError."""
_NAMES: Final[Mapping[type, str]] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a string",
    dict: "a JSON object",
    list: "a list",
    Path: "a path",
    SecretStr: "a string",
}


def own_reason(found: ErrorDetails) -> str | None:
    """The text of the ValueError that a validator raised, if that is the error."""
    return found["msg"].removeprefix(_PREFIX) if found["type"] == "value_error" else None


def expectation(field: FieldInfo) -> str:
    """What a setting must be, as words that follow "must be"."""
    alternatives = [_of_type(one, field.metadata) for one in _members(field.annotation)]
    return " or ".join(alternatives)


def is_list(field: FieldInfo) -> bool:
    """Whether a setting is a list of values."""
    return any(get_origin(_unwrapped(one)) is tuple for one in _members(field.annotation))


def _unwrapped(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _members(annotation: Any) -> list[Any]:
    """The types of an annotation such as `int | None`, without None."""
    is_union = get_origin(annotation) in {Union, UnionType}
    members = get_args(annotation) if is_union else (annotation,)
    return [one for one in members if one is not type(None)]


def _of_type(annotation: Any, constraints: Sequence[Any]) -> str:
    if get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        constraints = [*constraints, *more]
    if get_origin(annotation) is Literal:
        *most, last = map(str, get_args(annotation))
        return f"{', '.join(most)} or {last}" if most else last
    if get_origin(annotation) is tuple and _is_table(get_args(annotation)[0]):
        return 'a list of tables, such as [{ name = "value" }]'
    if get_origin(annotation) is tuple:
        return 'a list of strings, such as ["a", "b"]'
    return _NAMES[get_origin(annotation) or annotation] + _range(constraints)


def _is_table(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _range(constraints: Sequence[Any]) -> str:
    """The bounds of a number, as words: pydantic keeps them as objects with these attributes."""
    bounds = {
        bound: getattr(one, bound)
        for one in constraints
        for bound in ("ge", "le", "gt", "min_length")
        if getattr(one, bound, None) is not None
    }
    match bounds:
        case {"ge": low, "le": high}:
            return f" from {low:.15g} to {high:.15g}"
        case {"ge": low}:
            return f" of {low:.15g} or more"
        case {"gt": low}:
            return f" above {low:.15g}"
        case {"min_length": _}:
            return " that is not empty"
        case _:
            return ""
