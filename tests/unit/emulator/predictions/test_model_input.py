"""Checking an input against a model's fields."""

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
def test_what_is_wrong_is_named(given: dict[str, JSON], type_: str, field: str) -> None:
    """Each kind of mistake has Replicate's word for it and the path of the field."""
    complaints = check_input(FIELDS, given, is_closed=False)

    assert [(complaint.type, complaint.field) for complaint in complaints] == [(type_, field)]


@pytest.mark.parametrize(
    "given",
    [
        {"prompt": "x"},
        {"prompt": "x", "aspect_ratio": "16:9", "num_outputs": 4, "guidance": 3},
        {"prompt": "x", "aspect_ratio": None},
        {"prompt": "x", "unheard_of": 1},
    ],
)
def test_what_is_right_passes(given: dict[str, JSON]) -> None:
    """Optional keys may be missing or null, and an open model ignores unknown ones."""
    assert check_input(FIELDS, given, is_closed=False) == []


def test_a_closed_model_refuses_unknown_keys() -> None:
    """Some models name every key that they do not know."""
    complaints = check_input(FIELDS, {"prompt": "x", "seed": 1}, is_closed=True)

    assert [complaint.line for complaint in complaints] == [
        "- input: Additional property seed is not allowed"
    ]


def test_an_enum_complaint_lists_the_choices() -> None:
    """The sentence for people says what would be right."""
    (complaint,) = check_input(FIELDS, {"prompt": "x", "aspect_ratio": "2:1"}, is_closed=False)

    assert complaint.line == (
        '- input.aspect_ratio: aspect_ratio must be one of the following: "1:1", "16:9"'
    )


def test_the_schema_tells_the_same() -> None:
    """Required fields, bounds and enums stand in the schema where cog puts them."""
    schemas = input_schemas(FIELDS)

    assert schemas["Input"]["required"] == ["prompt"]
    assert schemas["Input"]["properties"]["num_outputs"]["maximum"] == 4
    assert schemas["aspect_ratio"]["enum"] == ["1:1", "16:9"]
    assert schemas["Input"]["properties"]["aspect_ratio"]["allOf"] == [
        {"$ref": "#/components/schemas/aspect_ratio"}
    ]
