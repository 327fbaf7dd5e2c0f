"""The input fields of a model: their validation and their JSON schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from phoenix_compat.emulator.json_type import JSON, JsonObject
from phoenix_compat.emulator.problem import InvalidField

FieldType = Literal["string", "integer", "number", "boolean", "array"]

_PYTHON_TYPES: dict[FieldType, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
}


@dataclass(frozen=True, slots=True)
class InputField:
    """One key of a model's input.

    Attributes:
        choices: the only values allowed; empty means any.
        minimum, maximum: bounds of a number, inclusive.
        format: the OpenAPI format of a string, `uri` for files.
    """

    name: str
    type: FieldType = "string"
    default: JSON = None
    choices: tuple[JSON, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    is_required: bool = False
    format: str | None = None
    description: str = ""

    def validate(self, value: JSON) -> InvalidField | None:
        """The error of this value, or None when it is valid."""
        where = f"input.{self.name}"
        if not self._has_type(value):
            expected = f"Invalid type. Expected: {self.type}, given: {_json_type(value)}"
            return InvalidField("invalid_type", where, expected)
        if self.choices and value not in self.choices:
            allowed = ", ".join(f'"{choice}"' for choice in self.choices)
            listed = f"{self.name} must be one of the following: {allowed}"
            return InvalidField("enum", where, listed)
        if self.minimum is not None and value < self.minimum:
            bound = f"Must be greater than or equal to {self.minimum:g}"
            return InvalidField("number_gte", where, bound)
        if self.maximum is not None and value > self.maximum:
            bound = f"Must be less than or equal to {self.maximum:g}"
            return InvalidField("number_lte", where, bound)
        return None

    def _has_type(self, value: JSON) -> bool:
        # `isinstance(True, int)` holds in Python, but Replicate refuses true for a number.
        if isinstance(value, bool):
            return self.type == "boolean"
        return isinstance(value, _PYTHON_TYPES[self.type])

    def schema(self, order: int) -> JsonObject:
        """The field as a property of the Input schema; like cog, an enum is a reference."""
        named: JsonObject = {"x-order": order, "description": self.description}
        if self.default is not None:
            named["default"] = self.default
        if self.choices:
            return named | {"allOf": [{"$ref": f"#/components/schemas/{self.name}"}]}
        named |= {"type": self.type, "title": self.name.replace("_", " ").title()}
        bounds = {"minimum": self.minimum, "maximum": self.maximum, "format": self.format}
        if self.type == "array":
            named["items"] = {"type": "string", "format": "uri"}
        return named | {key: value for key, value in bounds.items() if value is not None}


def check_input(
    fields: Sequence[InputField], model_input: JsonObject, *, is_closed: bool
) -> list[InvalidField]:
    """All errors of an input, in the order of the fields; empty when it is valid.

    Args:
        is_closed: unknown keys are errors too. Most models ignore them.
    """
    errors = []
    for field in fields:
        # Real models treat null like a missing key.
        if model_input.get(field.name) is None:
            if field.is_required:
                missing = f"{field.name} is required"
                errors.append(InvalidField("required", "input", missing))
        elif error := field.validate(model_input[field.name]):
            errors.append(error)
    if is_closed:
        known = {field.name for field in fields}
        errors += [unexpected("input", key) for key in model_input if key not in known]
    return errors


def unexpected(where: str, key: str) -> InvalidField:
    """The error for an unknown key."""
    sentence = f"Additional property {key} is not allowed"
    return InvalidField("additional_property_not_allowed", where, sentence)


def input_schemas(fields: Sequence[InputField]) -> JsonObject:
    """The part of `components.schemas` that describes the input: `Input` and its enums."""
    enums = {
        field.name: {
            "enum": list(field.choices),
            "type": field.type,
            "title": field.name,
            "description": "An enumeration.",
        }
        for field in fields
        if field.choices
    }
    described = {field.name: field.schema(order) for order, field in enumerate(fields)}
    schema: JsonObject = {"type": "object", "title": "Input", "properties": described}
    if required := [field.name for field in fields if field.is_required]:
        schema["required"] = required
    return {"Input": schema, **enums}


def _json_type(value: JSON) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"
