"""Validating an input against the fields of a model."""

from __future__ import annotations

import pytest

from phoenix_compat.emulator.json_type import JSON
from phoenix_compat.emulator.predictions.model_input import InputField, check_input, input_schemas

FIELDS = (
    InputField("prompt", is_required=True),
    InputField("aspect_ratio", choices=("1:1", "16:9"), default="1:1"),
    InputField("num_outputs", "integer", minimum=1, maximum=4),
    InputField("guidance", "number"),
    InputField("go_fast", "boolean"),
)


@pytest.mark.parametrize(
    ("given", "type_", "field"),
    [
        ({}, "required", "input"),
        ({"prompt": None}, "required", "input"),
        ({"prompt": 5}, "invalid_type", "input.prompt"),
        ({"prompt": "x", "aspect_ratio": "2:1"}, "enum", "input.aspect_ratio"),
        ({"prompt": "x", "num_outputs": 5}, "number_lte", "input.num_outputs"),
        ({"prompt": "x", "num_outputs": 0}, "number_gte", "input.num_outputs"),
        ({"prompt": "x", "num_outputs": 1.5}, "invalid_type", "input.num_outputs"),
        ({"prompt": "x", "num_outputs": True}, "invalid_type", "input.num_outputs"),
        ({"prompt": "x", "go_fast": 1}, "invalid_type", "input.go_fast"),
    ],
)
def test_invalid_fields_are_named(given: dict[str, JSON], type_: str, field: str) -> None:
    """Each error has the type that Replicate uses and the path of the field."""
    errors = check_input(FIELDS, given, is_closed=False)

    assert [(error.type, error.field) for error in errors] == [(type_, field)]


@pytest.mark.parametrize(
    "given",
    [
        {"prompt": "x"},
        {"prompt": "x", "aspect_ratio": "16:9", "num_outputs": 4, "guidance": 3},
        {"prompt": "x", "aspect_ratio": None},
        {"prompt": "x", "unknown": 1},
    ],
)
def test_valid_inputs_pass(given: dict[str, JSON]) -> None:
    """Optional keys may be missing or null, and most models ignore unknown keys."""
    assert check_input(FIELDS, given, is_closed=False) == []


def test_a_closed_model_refuses_unknown_keys() -> None:
    """A closed model reports every unknown key."""
    errors = check_input(FIELDS, {"prompt": "x", "seed": 1}, is_closed=True)

    assert [error.line for error in errors] == ["- input: Additional property seed is not allowed"]


def test_an_enum_error_lists_the_choices() -> None:
    """The message lists the allowed values."""
    (error,) = check_input(FIELDS, {"prompt": "x", "aspect_ratio": "2:1"}, is_closed=False)

    assert error.line == (
        '- input.aspect_ratio: aspect_ratio must be one of the following: "1:1", "16:9"'
    )


def test_the_schema_has_the_same_rules() -> None:
    """Required fields, bounds and enums are in the schema, in the format of cog."""
    schemas = input_schemas(FIELDS)

    assert schemas["Input"]["required"] == ["prompt"]
    assert schemas["Input"]["properties"]["num_outputs"]["maximum"] == 4
    assert schemas["aspect_ratio"]["enum"] == ["1:1", "16:9"]
    assert schemas["Input"]["properties"]["aspect_ratio"]["allOf"] == [
        {"$ref": "#/components/schemas/aspect_ratio"}
    ]
