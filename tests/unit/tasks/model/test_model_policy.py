"""What the operator allows: models, numbers of outputs, and inputs that loosen safety checks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.tasks.model.errors import InputNotAllowedError, InvalidInputError
from phoenix_compat.tasks.model.inputs.output_count import check_outputs, outputs_asked
from phoenix_compat.tasks.model.model_policy import ModelPolicy, PolicyRules
from phoenix_compat.tasks.model.task_types import TASK_TYPES, TaskParams, determine_task_params
from phoenix_compat.tasks.model.task_types_file import parse_task_types

OPERATORS = """
[poster]
task_type = "poster_gen"
default_model = "You/Poster:0a1b"
result = "file"
price_usd = 0.5
fallback_models = ["stability-ai/sdxl"]
"""
TYPES = {**TASK_TYPES, **parse_task_types(OPERATORS, "types.toml")}
MINI = "black-forest-labs/flux-schnell"


def params(rules: PolicyRules, type_: str = "image", **inputs: Any) -> TaskParams:
    posted = {"type": type_, "prompt": "Medieval monk", **inputs}
    return determine_task_params(posted, TYPES, ModelPolicy(TYPES, rules))


def refusal(rules: PolicyRules, **inputs: Any) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as refused:
        params(rules, **inputs)
    return refused.value


@pytest.mark.parametrize(
    "model",
    ["google/imagen-4-fast", "GOOGLE/Imagen-4-Fast", "you/poster:0A1B", "stability-ai/sdxl"],
)
def test_closed_rules_allow_the_models_of_all_task_types(model: str) -> None:
    """Defaults and fallback models of every type may run, the operator's included."""
    assert params(PolicyRules(is_open=False), model=model).model == model


@pytest.mark.parametrize("model", [MINI, "you/poster", "you/poster:ffff", "google/imagen-4-ultra"])
def test_closed_rules_allow_no_other_model(model: str) -> None:
    """Any other model, and another version than the operator's, is refused by name of the field."""
    error = refusal(PolicyRules(is_open=False), model=model)

    assert (type(error), error.field) == (InputNotAllowedError, "input_data.model")


def test_open_rules_allow_every_model() -> None:
    """Without authentication a client may choose any model, unless a list says otherwise."""
    assert params(PolicyRules(), model="a/b").model == "a/b"
    assert refusal(PolicyRules(allowed_models=("google/*",)), model="a/b").field.endswith("model")


@pytest.mark.parametrize(
    ("pattern", "model", "is_allowed"),
    [
        ("*", "any/body", True),
        ("google/*", "Google/imagen-4", True),
        ("google/*", "google/imagen-4:abc", True),
        ("Google/Imagen-4", "google/imagen-4", True),
        ("google/imagen-4", "google/imagen-4-ultra", False),
        ("google/*", "evil/google", False),
        ("google/*", "googles/imagen", False),
        ("a/b:1", "a/b:1", True),
        ("a/b:1", "a/b", False),
        ("a/b:1", "a/b:2", False),
        ("a/b:*", "a/b:2", True),
        ("a/b:*", "a/bc:2", False),
    ],
)
def test_allowed_models_are_globs(pattern: str, model: str, *, is_allowed: bool) -> None:
    """A glob covers the whole name, in any case; a version is compared only if the glob has one."""
    policy = ModelPolicy({}, PolicyRules(allowed_models=(pattern,)))

    assert policy.allows(model) is is_allowed


def test_a_list_of_models_binds_the_defaults_too() -> None:
    """A list that does not have the default model refuses tasks that name none."""
    assert refusal(PolicyRules(allowed_models=("a/*",))).field == "input_data.model"


def test_a_money_cap_refuses_models_without_a_price() -> None:
    """What cannot be counted does not run; the operator's price for a type's own model counts."""
    rules = PolicyRules(needs_price=True)

    assert refusal(rules, model="a/b").field == "input_data.model"
    assert params(rules, model=MINI).estimated_cost_usd == 0.003
    assert params(rules, "poster").estimated_cost_usd == 0.5
    assert refusal(rules, type_="poster", model="you/poster").field == "input_data.model"


COUNTS = (
    "num_outputs",
    "max_images",
    "number_of_images",
    "num_images",
    "numImages",
    "NUM-OUTPUTS",
    "num_images_per_prompt",
    "images_per_prompt",
    "n",
    "n_iter",
    "n_samples",
    "batch_size",
    "batchSize",
    "batch_count",
    "sample_count",
    "num_samples",
    "num_videos",
    "outputs",
    "best_of",
)


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize(
    "value", [16, 1_000_000, 10**30, "1000000", " 16 ", "1_000", "1e6", "0x10", 4.5, 1e300, -1, "4"]
)
def test_no_input_asks_for_more_outputs_than_allowed(name: str, value: object) -> None:
    """Under every name, nested or not; texts and fractions too, since models may read them."""
    limits = PolicyRules(max_outputs=15)
    nested: Any = {"options": [{name: value}]}

    assert name in refusal(limits, model="a/b", **{name: value}).field
    assert refusal(limits, model="a/b", **nested).field == f"input_data.options.0.{name}"


@pytest.mark.parametrize("name", COUNTS)
def test_a_number_of_outputs_within_the_limit_passes(name: str) -> None:
    """A whole number up to the limit is sent as it was posted, and counts for the price."""
    posted: dict[str, Any] = {"model": "a/b", name: 15}
    accepted = params(PolicyRules(max_outputs=15), **posted)

    assert accepted.provider_input[name] == 15
    assert outputs_asked(accepted.provider_input) == 15


def test_numbers_of_outputs_are_multiplied() -> None:
    """Four batches of four pictures are sixteen pictures."""
    assert "16" in refusal(PolicyRules(), model="a/b", n_iter=4, batch_size=4).reason
    assert params(PolicyRules(), "poster", n_iter=3, batch_size=4).estimated_cost_usd == 6.0


def test_the_field_is_named_as_it_was_posted() -> None:
    """For a model that has another name for num_outputs, the client reads its own name."""
    model = "bytedance/seedream-4"

    assert refusal(PolicyRules(), model=model, num_outputs=16).field == "input_data.num_outputs"
    assert refusal(PolicyRules(), model=model, max_images=16).field == "input_data.max_images"
    assert refusal(PolicyRules(), model=model, max_images="9").field == "input_data.max_images"


@pytest.mark.parametrize(
    "inputs",
    [
        {"images": ["https://example.com/1.png", "https://example.com/2.png"]},
        {"image": "https://example.com/100.png", "seed": 10**9, "num_inference_steps": 500},
        {"num_frames": 81, "max_tokens": 4_096, "output_size": 2_048, "image_size": 1_024},
        {"samples": "a, b and c", "n": "many", "outputs": True},
        {"lora_safetensors": "https://example.com/x.safetensors"},
    ],
)
def test_other_numbers_are_not_taken_for_counts(inputs: dict[str, Any]) -> None:
    """Sizes, seeds, steps, lists of pictures and words pass."""
    assert params(PolicyRules(), model="a/b", **inputs).provider_input.items() >= inputs.items()


@given(st.dictionaries(st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists)))
def test_whatever_passes_the_ceiling_asks_for_no_more(inputs: dict[str, Any]) -> None:
    """An input that passes is never counted above the limit."""
    try:
        check_outputs(inputs, 4)
    except InvalidInputError:
        return

    assert outputs_asked(inputs) <= 4


UNSAFE: list[dict[str, Any]] = [
    *({"disable_safety_checker": value} for value in (True, 1, 1.0, "true", "TRUE", "1", "yes")),
    *({"Disable-Safety_Checker": value} for value in (True, "on")),
    {"disableSafetyFilter": True},
    {"disable_nsfw_filter": True},
    {"skip_safety_check": True},
    {"bypass_moderation": True},
    {"allow_nsfw": True},
    {"enable_nsfw": "true"},
    {"nsfw": True},
    {"uncensored": True},
    *({"enable_safety_checker": value} for value in (False, 0, "false", "False", "0", "off", "")),
    {"safety_checker": "none"},
    {"safety": False},
    {"nsfw_filter": False},
    *({"safety_tolerance": value} for value in (3, 6, "6", 2.5, "high", True)),
    *({"moderation": value} for value in ("low", "LOW", "none", False, 0)),
    *({"safety_filter_level": value} for value in ("block_only_high", "block_none", "OFF")),
    {"safety_settings": [{"threshold": "BLOCK_NONE"}]},
    {"options": {"disable_safety_checker": True}},
]


@pytest.mark.parametrize("inputs", UNSAFE)
def test_clients_cannot_make_a_model_less_strict(inputs: dict[str, Any]) -> None:
    """Whatever the switch is called and however "on" is written; unless the operator allows it."""
    error = refusal(PolicyRules(), model="a/b", **inputs)

    assert isinstance(error, InputNotAllowedError)
    assert error.field.startswith(f"input_data.{next(iter(inputs))}")
    assert params(PolicyRules(allows_unsafe_inputs=True), model="a/b", **inputs).model == "a/b"


@pytest.mark.parametrize(
    "inputs",
    [
        *({"disable_safety_checker": value} for value in (False, 0, "false", "0", None)),
        *({"enable_safety_checker": value} for value in (True, 1, "true")),
        *({"safety_tolerance": value} for value in (0, 1, 2, "2")),
        *({"moderation": value} for value in ("auto", "AUTO", "high")),
        *(
            {"safety_filter_level": value}
            for value in ("block_low_and_above", "BLOCK_MEDIUM_AND_ABOVE")
        ),
        {"nsfw": False, "allow_nsfw": False, "safe_mode": True},
    ],
)
def test_a_model_may_be_made_stricter(inputs: dict[str, Any]) -> None:
    """The strict values, and those that change nothing, pass."""
    assert params(PolicyRules(), model="a/b", **inputs).model == "a/b"


@pytest.mark.parametrize("model", ["google/imagen-4-fast", "google/nano-banana-pro"])
def test_the_models_own_default_passes(model: str) -> None:
    """Google's models block only the worst by default: to say so changes nothing."""
    level = "block_only_high"

    accepted = params(PolicyRules(), model=model, safety_filter_level=level)

    assert accepted.provider_input["safety_filter_level"] == level
    refused = refusal(PolicyRules(), model=model, safety_filter_level="block_none")
    assert refused.field == "input_data.safety_filter_level"


def test_an_input_that_is_not_sent_is_not_refused() -> None:
    """What is sent to the model decides: Imagen has no such switch, so nothing happens."""
    accepted = params(PolicyRules(), disable_safety_checker=True, num_outputs=1_000)

    assert accepted.provider_input == {"prompt": "Medieval monk"}


@pytest.mark.parametrize(
    ("pattern", "is_allowed"),
    [
        ("deployments/me/mine", True),
        ("Deployments/me/*", True),
        ("*", True),
        ("deployments/me/other", False),
        ("*/mine", False),
        ("me/mine", False),
    ],
)
def test_a_deployment_is_allowed_by_its_whole_name(pattern: str, *, is_allowed: bool) -> None:
    """C15: a pattern that is meant for models does not allow one by accident."""
    policy = ModelPolicy(TASK_TYPES, PolicyRules(allowed_models=(pattern,)))

    assert policy.allows("deployments/me/mine") is is_allowed


def test_a_cap_refuses_deployments() -> None:
    """C15: their price is unknown."""
    refused = refusal(PolicyRules(needs_price=True), model="deployments/me/mine")

    assert "no known price" in refused.reason
