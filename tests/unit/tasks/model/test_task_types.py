"""Validation of posted input, and what is run for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.bounded import MAX_NESTING
from phoenix_compat.tasks.model.errors import InvalidInputError
from phoenix_compat.tasks.model.inputs.input_checks import MAX_PROMPT_CHARS
from phoenix_compat.tasks.model.task_types import (
    TASK_TYPES,
    determine_task_params,
    fingerprint,
    with_default_model,
)

MONK = {"type": "image", "prompt": "Medieval monk"}


def refused_field(input_data: object) -> str:
    with pytest.raises(InvalidInputError) as refusal:
        determine_task_params(input_data)
    return refusal.value.field


def test_an_image_needs_only_a_prompt() -> None:
    """Type image becomes image_gen with the default model."""
    params = determine_task_params(MONK)

    assert (params.type, params.task_type) == ("image", "image_gen")
    assert params.model == "google/imagen-4-fast"
    assert params.provider_input == {"prompt": "Medieval monk"}
    assert params.input_data == MONK


def test_a_model_gets_the_inputs_that_it_accepts() -> None:
    """A model gets the inputs of its family and no others."""
    posted = MONK | {"aspect_ratio": "16:9", "output_format": "png", "seed": 7, "num_outputs": 2}

    imagen = determine_task_params(posted).provider_input
    flux = determine_task_params(posted | {"model": "black-forest-labs/flux-schnell"})

    assert imagen == {"prompt": "Medieval monk", "aspect_ratio": "16:9", "output_format": "png"}
    assert flux.provider_input == {key: posted[key] for key in posted if key != "type"}


def test_the_number_of_outputs_is_renamed_for_the_model() -> None:
    """Families with another name for num_outputs get it under that name."""
    posted = MONK | {"num_outputs": 3}

    seedream = determine_task_params(posted | {"model": "bytedance/seedream-4"}).provider_input
    gpt = determine_task_params(posted | {"model": "openai/gpt-image-1"}).provider_input

    assert (seedream["max_images"], gpt["number_of_images"]) == (3, 3)


def test_an_unknown_model_gets_every_input() -> None:
    """A model of an unknown family gets everything that was posted."""
    params = determine_task_params(MONK | {"model": "you/yours:abc123", "strange": [1, {"a": 2}]})

    assert params.model == "you/yours:abc123"
    assert params.provider_input == {"prompt": "Medieval monk", "strange": [1, {"a": 2}]}


def test_null_counts_as_absent() -> None:
    """A null value is treated like an absent key."""
    params = determine_task_params(MONK | {"model": None, "seed": None, "aspect_ratio": None})

    assert params.provider_input == {"prompt": "Medieval monk"}


def test_the_prompt_is_trimmed_and_the_input_kept_as_posted() -> None:
    """The model gets the prompt without surrounding white space; input_data keeps it."""
    params = determine_task_params(MONK | {"prompt": "  monk\n"})

    assert params.provider_input["prompt"] == "monk"
    assert params.input_data["prompt"] == "  monk\n"


@pytest.mark.parametrize(
    ("input_data", "field"),
    [
        (None, "input_data"),
        ([], "input_data"),
        ({}, "input_data.type"),
        ({"prompt": "x"}, "input_data.type"),
        ({"type": None, "prompt": "x"}, "input_data.type"),
        ({"type": "opera", "prompt": "x"}, "input_data.type"),
        ({"type": ["image"], "prompt": "x"}, "input_data.type"),
        ({"type": "image"}, "input_data.prompt"),
        ({"type": "image", "prompt": None}, "input_data.prompt"),
        ({"type": "image", "prompt": ""}, "input_data.prompt"),
        ({"type": "image", "prompt": " \n\t"}, "input_data.prompt"),
        ({"type": "image", "prompt": 7}, "input_data.prompt"),
        ({"type": "image", "prompt": "x" * (MAX_PROMPT_CHARS + 1)}, "input_data.prompt"),
        (MONK | {"model": "imagen"}, "input_data.model"),
        (MONK | {"model": "a/b/c"}, "input_data.model"),
        (MONK | {"model": "../../etc/passwd"}, "input_data.model"),
        (MONK | {"model": "https://evil.example/x"}, "input_data.model"),
        (MONK | {"model": ""}, "input_data.model"),
        (MONK | {"model": 4}, "input_data.model"),
        (MONK | {"seed": "7"}, "input_data.seed"),
        (MONK | {"seed": -1}, "input_data.seed"),
        (MONK | {"seed": True}, "input_data.seed"),
        (MONK | {"num_outputs": 0}, "input_data.num_outputs"),
        (MONK | {"num_outputs": 1.5}, "input_data.num_outputs"),
        (MONK | {"aspect_ratio": 1.5}, "input_data.aspect_ratio"),
        (MONK | {"output_format": {}}, "input_data.output_format"),
        (MONK | {"negative_prompt": []}, "input_data.negative_prompt"),
        (MONK | {"guidance": "strong"}, "input_data.guidance"),
        (MONK | {"go_fast": 1}, "input_data.go_fast"),
        (MONK | {f"key{number}": 1 for number in range(64)}, "input_data"),
    ],
)
def test_a_refusal_names_the_field(input_data: object, field: str) -> None:
    """The error of an invalid input names its field."""
    assert refused_field(input_data) == field


def test_another_default_model_is_used() -> None:
    """A configured default model runs when the input names none."""
    task_types = with_default_model(TASK_TYPES, "image", "google/nano-banana-2")

    assert determine_task_params(MONK, task_types).model == "google/nano-banana-2"
    assert TASK_TYPES["image"].default_model == "google/imagen-4-fast"


def test_an_invalid_default_model_is_refused() -> None:
    """A default model that does not look like owner/name is refused."""
    with pytest.raises(InvalidInputError, match="default_model"):
        with_default_model(TASK_TYPES, "image", "nano banana")


inputs = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=5,
    ),
    max_size=5,
)


@given(inputs)
def test_a_fingerprint_ignores_the_order_of_keys(provider_input: dict[str, object]) -> None:
    """The same input with its keys in another order has the same fingerprint."""
    reversed_input = dict(reversed(provider_input.items()))

    assert fingerprint("a/b", provider_input) == fingerprint("a/b", reversed_input)


def test_a_fingerprint_is_of_model_and_input() -> None:
    """Model and input change the fingerprint; the version, and 1.0 for 1, do not."""
    one = fingerprint("a/b", {"n": 1})

    assert one == fingerprint("a/b:abc", {"n": 1.0})
    assert one not in {fingerprint("a/c", {"n": 1}), fingerprint("a/b", {"n": 2})}
    assert len(one) == 64


def test_fallback_models_are_validated() -> None:
    """Fallback models keep their order; one that does not look like owner/name is refused."""
    task_types = with_default_model(TASK_TYPES, "image", "a/b", ["c/d", "e/f:1"])

    assert task_types["image"].fallback_models == ("c/d", "e/f:1")
    with pytest.raises(InvalidInputError, match="fallback_models"):
        with_default_model(TASK_TYPES, "image", "a/b", ["nano banana"])


def test_a_task_has_an_estimated_cost() -> None:
    """The estimate depends on the model; an unknown model has none."""
    assert determine_task_params(MONK).estimated_cost_usd == 0.02
    assert determine_task_params(MONK | {"model": "you/yours"}).estimated_cost_usd is None


@pytest.mark.parametrize("bracket", ["object", "list"])
def test_the_nesting_of_input_is_limited(bracket: str) -> None:
    """Input with MAX_NESTING levels is accepted, deeper input is refused."""

    def nested(depth: int) -> object:
        value: object = 1
        for _ in range(depth):
            value = {"a": value} if bracket == "object" else [value]
        return value

    determine_task_params({**MONK, "extra": nested(MAX_NESTING - 1)})
    assert refused_field({**MONK, "extra": nested(MAX_NESTING)}) == "input_data"
    assert refused_field({**MONK, "extra": nested(100_000)}) == "input_data"


@pytest.mark.parametrize("name", ["negative_prompt", "aspect_ratio", "seed", "num_outputs"])
def test_an_empty_optional_input_is_absent(name: str) -> None:
    """C6: forms send their empty fields too."""
    params = determine_task_params(
        {"type": "image", "prompt": "x", "model": "stability-ai/sdxl", name: ""}
    )

    assert params.provider_input == {"prompt": "x"}


def test_a_whole_number_may_be_written_as_a_float() -> None:
    """C12: 7.0 and 7e0 are the number 7 in JSON."""
    params = determine_task_params(
        {"type": "image", "prompt": "x", "model": "stability-ai/sdxl", "seed": 7.0}
    )

    assert params.provider_input["seed"] == 7
    assert type(params.provider_input["seed"]) is int
    with pytest.raises(InvalidInputError, match="seed: must be a whole number"):
        determine_task_params(
            {"type": "image", "prompt": "x", "model": "stability-ai/sdxl", "seed": 7.5}
        )
