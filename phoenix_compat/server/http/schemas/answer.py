"""What all models of answers have in common."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

DATE_TIME: Final = "2026-01-05T10:00:00Z"

Time: TypeAlias = Annotated[
    str,
    Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$",
        json_schema_extra={"format": "date-time"},
        examples=[DATE_TIME],
    ),
]
"""A time in UTC, without fractions of a second."""


def open_schema(schema: dict[str, Any]) -> None:
    """Make a schema that lets clients expect further keys, which later versions may add.

    A key that may be absent has the default None here; on the wire it is never null.
    """
    if schema.get("additionalProperties") is False:
        del schema["additionalProperties"]
    schema.pop("title", None)
    for name, inner in schema.get("properties", {}).items():
        inner.pop("title", None)
        choices = [one for one in inner.get("anyOf", ()) if one != {"type": "null"}]
        if "default" in inner and inner["default"] is None:
            del inner["default"]
            if len(choices) == 1:
                del inner["anyOf"]
                schema["properties"][name] = {**choices[0], **inner}
            elif choices:
                inner["anyOf"] = choices


class Answer(BaseModel):
    """The base class of answers. Keys without a value are left out, never null.

    A model has every key that this version sends. Clients must accept others.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        defer_build=True,
        json_schema_extra=open_schema,
    )
