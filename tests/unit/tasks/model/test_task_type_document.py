"""What clients are told about task types."""

from __future__ import annotations

from typing import Any

from phoenix_compat.tasks.model.model_policy import ModelPolicy, PolicyRules
from phoenix_compat.tasks.model.task_type_document import task_types_document
from phoenix_compat.tasks.model.task_types_file import packaged_task_types, parse_task_types

TYPES = packaged_task_types()
OWN = """
[swap]
task_type = "face_swap"
default_model = "you/swap"
result = "json"
required_inputs = ["photo", "voice_audio", "colour"]
"""


def described(**rules: Any) -> dict[str, Any]:
    """The types of a server with these rules, by name."""
    policy = ModelPolicy(TYPES, PolicyRules(**rules))
    return {one["type"]: one for one in task_types_document(TYPES, policy)["task_types"]}


def test_a_type_is_described() -> None:
    """Its inputs with their defaults, its models with their prices, and its result."""
    edit = described()["edit"]

    assert (edit["task_type"], edit["result"]) == ("image_edit", "image")
    assert (edit["streams"], edit["takes_files"]) == (False, True)
    assert edit["deadline_s"] == 300.0
    assert edit["default_model"] == edit["models"][0]["model"] == "google/nano-banana"
    assert edit["models"][0]["price_usd"] == 0.04
    image, prompt, aspect_ratio, _ = edit["inputs"]
    assert image == {
        "name": "image",
        "kind": "image",
        "required": True,
        "many": True,
        "description": "The photo to change; some models combine several.",
    }
    assert (prompt["name"], prompt["required"], prompt["max_length"]) == ("prompt", True, 10_000)
    assert aspect_ratio["required"] is False
    assert aspect_ratio["default"] in aspect_ratio["choices"]


def test_a_model_says_which_inputs_it_takes() -> None:
    """A form can hide the others."""
    chat = {one["model"]: one["inputs"] for one in described()["chat"]["models"]}
    upscale = {one["model"]: one["inputs"] for one in described()["upscale"]["models"]}

    assert "image" in chat["openai/gpt-4o-mini"]
    assert upscale["nightmareai/real-esrgan"] == ["image", "scale"]


def test_texts_stream() -> None:
    """A client knows whether it may show a text while it is written."""
    types = described()

    streaming = {name for name, one in types.items() if one["streams"]}
    assert streaming == {"text", "describe", "transcribe", "chat"}
    with_files = {name for name, one in types.items() if one["takes_files"]}
    assert with_files == set(types) - {"image", "audio", "text"}


def test_models_that_are_not_allowed_are_left_out() -> None:
    """A type without an allowed model is left out too, and the patterns are told."""
    policy = ModelPolicy(TYPES, PolicyRules(allowed_models=("google/*", "deployments/me/mine")))

    document = task_types_document(TYPES, policy)

    types = {one["type"]: one for one in document["task_types"]}
    assert set(types) == {"image", "edit"}
    models = [one["model"] for one in types["edit"]["models"]]
    assert models == ["google/nano-banana", "google/nano-banana-2"]
    assert document["allowed_models"] == ["google/*", "deployments/me/mine"]


def test_suggestions_do_not_extend_what_is_allowed() -> None:
    """Where only the models of task types may run, these are the default and fallback models."""
    edit = described(is_open=False)["edit"]

    models = [one["model"] for one in edit["models"]]
    assert "google/nano-banana-2" in models
    assert "black-forest-labs/flux-kontext-max" not in models


def test_models_without_a_price_are_left_out_under_a_cap() -> None:
    """A task with one of them would be refused."""
    types = described(needs_price=True)

    assert "video" not in types
    assert [one["model"] for one in types["chat"]["models"]] == [
        "openai/gpt-4o-mini",
        "openai/gpt-4.1-mini",
        "openai/gpt-4o",
    ]


def test_inputs_of_own_types_are_guessed() -> None:
    """A type that does not describe its required inputs has them by their names."""
    types = parse_task_types(OWN, "own.toml")

    (swap,) = task_types_document(types, ModelPolicy(types))["task_types"]

    kinds = {one["name"]: one["kind"] for one in swap["inputs"]}
    expected = {"photo": "image", "voice_audio": "audio", "colour": "text", "prompt": "text"}
    assert kinds == expected
    assert all(one["required"] for one in swap["inputs"])
    assert swap["models"] == [{"model": "you/swap", "inputs": list(expected)}]
