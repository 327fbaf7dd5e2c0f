"""The inputs of the packaged task types: their names, their defaults and their checks."""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat.errors import ConfigError
from phoenix_compat.tasks.model.errors import InvalidInputError
from phoenix_compat.tasks.model.task_types import determine_task_params
from phoenix_compat.tasks.model.task_types_file import packaged_task_types, parse_task_types

TYPES = packaged_task_types()
A, B = "https://pictures.example/a.jpg", "upload:" + "0" * 64
EDIT = {"type": "edit", "prompt": "Snow", "image": A}
EDITED = {"prompt": "Snow", "aspect_ratio": "match_input_image", "output_format": "jpg"}
DESCRIBE = "Describe this picture in two or three sentences."


@pytest.mark.parametrize(
    ("posted", "model", "sent"),
    [
        (EDIT, "google/nano-banana", EDITED | {"image_input": [A]}),
        (EDIT | {"image": [A, B]}, "google/nano-banana", EDITED | {"image_input": [A, B]}),
        (
            EDIT | {"model": "black-forest-labs/flux-kontext-pro", "output_format": "png"},
            "black-forest-labs/flux-kontext-pro",
            EDITED | {"input_image": A, "output_format": "png"},
        ),
        (
            EDIT | {"model": "black-forest-labs/flux-kontext-pro", "image": [A]},
            "black-forest-labs/flux-kontext-pro",
            EDITED | {"input_image": A},
        ),
        (
            {"type": "upscale", "image": A},
            "topazlabs/image-upscale",
            {"image": A, "upscale_factor": "2x"},
        ),
        (
            {"type": "upscale", "image": A, "upscale_factor": "4x", "prompt": "ignored"},
            "topazlabs/image-upscale",
            {"image": A, "upscale_factor": "4x"},
        ),
        (
            {"type": "upscale", "image": A, "scale": 4.0, "model": "nightmareai/real-esrgan"},
            "nightmareai/real-esrgan",
            {"image": A, "scale": 4},
        ),
        (
            {"type": "remove_background", "image": B},
            "recraft-ai/recraft-remove-background",
            {"image": B},
        ),
        (
            {"type": "describe", "image": A, "prompt": ""},
            "openai/gpt-4o-mini",
            {"prompt": DESCRIBE, "image_input": [A], "max_completion_tokens": 512},
        ),
        (
            {"type": "describe", "image": A, "prompt": "What is it?", "max_tokens": 9},
            "openai/gpt-4o-mini",
            {"prompt": "What is it?", "image_input": [A], "max_completion_tokens": 9},
        ),
        (
            {"type": "transcribe", "audio": A, "language": "de", "prompt": ""},
            "openai/gpt-4o-mini-transcribe",
            {"audio_file": A, "language": "de"},
        ),
        (
            {"type": "transcribe", "audio": A, "prompt": "Ada", "model": "openai/whisper"},
            "openai/whisper",
            {"audio": A, "initial_prompt": "Ada"},
        ),
        (
            {"type": "chat", "prompt": "Hi", "image": A, "system_prompt": "", "temperature": 0},
            "openai/gpt-4o-mini",
            {
                "prompt": "Hi",
                "system_prompt": "You are a helpful assistant.",
                "image_input": [A],
                "temperature": 0,
                "max_completion_tokens": 1024,
            },
        ),
        (
            {"type": "chat", "prompt": "Hi", "model": "meta/meta-llama-3-8b-instruct"},
            "meta/meta-llama-3-8b-instruct",
            {
                "prompt": "Hi",
                "system_prompt": "You are a helpful assistant.",
                "max_tokens": 1024,
            },
        ),
        (
            {"type": "image", "prompt": "a", "model": "google/nano-banana", "image_input": B},
            "google/nano-banana",
            {"prompt": "a", "image_input": [B]},
        ),
        (
            {"type": "image", "prompt": "a", "model": "deployments/me/mine", "image": A, "x": 1},
            "deployments/me/mine",
            {"prompt": "a", "image": A, "x": 1},
        ),
    ],
)
def test_inputs_get_the_models_names(posted: Any, model: str, sent: dict[str, Any]) -> None:
    """The model gets what its family accepts, with the defaults of the type."""
    params = determine_task_params(posted, TYPES)

    assert (params.model, params.provider_input) == (model, sent)


@pytest.mark.parametrize(
    ("posted", "field", "reason"),
    [
        ({"type": "edit", "prompt": "Snow"}, "image", "is missing"),
        ({"type": "edit", "image": A}, "prompt", "is missing"),
        (EDIT | {"image": "photo.jpg"}, "image", "must be the id of a file that was sent with"),
        (EDIT | {"image": [A, 7]}, "image", "or a list of 1 to 32 of these"),
        (EDIT | {"aspect_ratio": 7}, "aspect_ratio", "must be a string"),
        (
            EDIT | {"model": "black-forest-labs/flux-kontext-pro", "image": [A, A]},
            "image",
            "has 2 files, and the model takes one",
        ),
        ({"type": "upscale", "image": [A]}, "image", "must be the id of a file"),
        ({"type": "upscale", "image": A, "scale": 2.5}, "scale", "must be a whole number"),
        ({"type": "upscale", "image": A, "scale": True}, "scale", "must be a whole number"),
        ({"type": "describe"}, "image", "is missing"),
        ({"type": "transcribe", "audio": "hello"}, "audio", "must be the id of a file"),
        ({"type": "chat", "prompt": "Hi", "temperature": "hot"}, "temperature", "must be a number"),
        ({"type": "chat", "prompt": "Hi", "system_prompt": "x" * 10_001}, "system_prompt", "10000"),
    ],
)
def test_a_wrong_input_is_named(posted: Any, field: str, reason: str) -> None:
    """The refusal says which input is wrong, and what to write instead."""
    with pytest.raises(InvalidInputError) as refusal:
        determine_task_params(posted, TYPES)

    assert refusal.value.field == f"input_data.{field}"
    assert reason in refusal.value.reason


@pytest.mark.parametrize(
    ("posted", "cost_usd"),
    [
        (EDIT, 0.04),
        (EDIT | {"model": "black-forest-labs/flux-kontext-max"}, 0.08),
        ({"type": "upscale", "image": A}, 0.16),
        ({"type": "upscale", "image": A, "scale": 6}, 1.36),
        ({"type": "remove_background", "image": A}, 0.01),
        ({"type": "transcribe", "audio": A}, 0.075),
        ({"type": "chat", "prompt": "Hi"}, 0.01),
        ({"type": "chat", "prompt": "Hi", "max_tokens": 8_192}, 0.02),
    ],
)
def test_a_price_follows_the_inputs(posted: Any, cost_usd: float) -> None:
    """What makes a result dearer makes the estimate dearer."""
    assert determine_task_params(posted, TYPES).estimated_cost_usd == cost_usd


def test_a_conversation_is_written_into_the_prompt() -> None:
    """The oldest first, and the prompt at its end."""
    messages = [
        {"role": "user", "content": "How far is the moon?"},
        {"role": "assistant", "content": " 384,400 km. "},
    ]
    posted = {"type": "chat", "prompt": "And the sun?", "messages": messages}

    sent = determine_task_params(posted, TYPES).provider_input

    assert "messages" not in sent
    assert sent["prompt"].split("\n\n") == [
        "User: How far is the moon?",
        "Assistant: 384,400 km.",
        "User: And the sun?",
        "Assistant:",
    ]


@pytest.mark.parametrize("messages", [None, [], ""])
def test_a_conversation_may_be_empty(messages: object) -> None:
    """The prompt is then as it was written."""
    posted = {"type": "chat", "prompt": "Hi", "messages": messages}

    assert determine_task_params(posted, TYPES).provider_input["prompt"] == "Hi"


@pytest.mark.parametrize(
    ("messages", "field", "reason"),
    [
        ("Hi", "messages", "a list of at most 64"),
        ([{"role": "user", "content": "a"}] * 65, "messages", "a list of at most 64"),
        ([{"role": "user", "content": "a" * 9_999}] * 3, "messages", "leave the oldest messages"),
        (["Hi"], "messages.0", "must be an object like"),
        ([{"role": "system", "content": "a"}], "messages.0.role", '"user" or "assistant"'),
        ([{"role": "user", "content": [1]}], "messages.0.content", "must be a text"),
        ([{"role": "user", "content": " "}], "messages.0.content", "must be a text"),
    ],
)
def test_a_wrong_conversation_is_named(messages: object, field: str, reason: str) -> None:
    """The refusal names the message."""
    with pytest.raises(InvalidInputError) as refusal:
        determine_task_params({"type": "chat", "prompt": "Hi", "messages": messages}, TYPES)

    assert refusal.value.field == f"input_data.{field}"
    assert reason in refusal.value.reason


def test_every_default_model_has_a_price() -> None:
    """Otherwise a server with a spending cap could not run the type."""
    for name in ("edit", "upscale", "remove_background", "describe", "transcribe", "chat"):
        posted = {"type": name, "prompt": "a", "image": A, "audio": A}

        assert determine_task_params(posted, TYPES).estimated_cost_usd


TABLE = """
[poster]
task_type = "poster_gen"
default_model = "you/poster"
result = "image"
[poster.inputs.paper]
kind = "text"
default = "A4"
choices = ["A4", "A3"]
"""


def test_own_types_describe_their_inputs() -> None:
    """A default is sent when the input is missing."""
    types = parse_task_types(TABLE, "own.toml")

    params = determine_task_params({"type": "poster", "prompt": "a"}, types)

    assert params.provider_input == {"prompt": "a", "paper": "A4"}
    assert types["poster"].inputs[0].choices == ("A4", "A3")


EDITOR = """
[edit]
task_type = "image_edit"
default_model = "deployments/me/editor"
result = "image"
required_inputs = ["image"]
price_usd = 0.05
like = "google/nano-banana"
[edit.inputs.image]
kind = "image"
many = true
"""


def test_a_deployment_takes_the_inputs_of_a_known_model() -> None:
    """`like` says of which; so do other models that are not known."""
    types = parse_task_types(EDITOR, "own.toml")

    own = determine_task_params(EDIT | {"type": "edit"}, types)
    other = determine_task_params(EDIT | {"model": "you/private:abc"}, types)

    assert own.model == "deployments/me/editor"
    assert own.provider_input == other.provider_input == {"prompt": "Snow", "image_input": [A]}
    assert (own.estimated_cost_usd, other.estimated_cost_usd) == (0.05, None)


def test_a_model_that_is_not_known_gets_no_defaults() -> None:
    """It may refuse inputs that nobody has asked for; what was posted is sent as it is."""
    params = determine_task_params(EDIT | {"model": "deployments/me/mine", "x": 1}, TYPES)

    assert params.provider_input == {"prompt": "Snow", "image": A, "x": 1}


def test_an_unknown_model_to_be_like_is_named() -> None:
    """The error says what to write."""
    text = EDITOR.replace("google/nano-banana", "you/private")

    with pytest.raises(ConfigError, match=r"\[edit\] like: must be the name of a model whose"):
        parse_task_types(text, "own.toml")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('kind = "colour"', 'inputs.paper.kind: must be "text", "integer"'),
        ("", "inputs.paper.kind: is missing"),
        ('kind = "integer"\ndefault = "A4"', "inputs.paper.default: must be a value of the input"),
        ('kind = "number"\nchoices = [1, "b"]', "inputs.paper.choices: must be a list of at most"),
        ('kind = "image"\ndefault = "a"', "inputs.paper.default: must be a value of the input"),
        ('kind = "text"\nmany = true', "inputs.paper.many: must be true or false, and false for"),
        ('kind = "text"\ncolour = 1', "inputs.paper.colour: is not a known key; known keys: kind"),
        ('kind = "number"\nminimum = inf', "inputs.paper.minimum: must be a number"),
    ],
)
def test_a_wrong_description_is_named(line: str, problem: str) -> None:
    """The error names the table, the input and the key."""
    head = TABLE.partition('kind = "text"')[0]

    with pytest.raises(ConfigError) as refusal:
        parse_task_types(head + line, "own.toml")

    assert str(refusal.value).startswith("own.toml: [poster] ")
    assert problem in str(refusal.value)
