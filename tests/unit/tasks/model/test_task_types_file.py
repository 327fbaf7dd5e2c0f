"""Task types in TOML files: tables, results, and errors that name the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from phoenix_compat.errors import ConfigError
from phoenix_compat.tasks.model.errors import InvalidInputError
from phoenix_compat.tasks.model.results.output import normalise_output
from phoenix_compat.tasks.model.task import JSONObject
from phoenix_compat.tasks.model.task_types import RESULTS, TASK_TYPES, determine_task_params
from phoenix_compat.tasks.model.task_types_file import (
    load_task_types,
    packaged_task_types,
    parse_task_types,
)

OWN = """
# A clip made of a picture: needs the picture, and no prompt.
[animate]
task_type = "video_gen"
default_model = "you/animate"
result = "file"
prompt = false
required_inputs = ["image"]
deadline_s = 1_800
price_usd = 0.25
fallback_models = ["them/animate", "them/animate-old:abc123"]

# A description of a picture.
[caption]
task_type = "captioning"
default_model = "you/caption"
result = "text"
"""

A, B = "https://replicate.delivery/a.mp4", "https://replicate.delivery/b.png"


def test_a_table_sets_every_key() -> None:
    """Keys of a table are taken over; absent keys have their default."""
    task_types = parse_task_types(OWN, "own.toml")

    animate, caption = task_types["animate"], task_types["caption"]
    assert (animate.name, animate.default_model) == ("video_gen", "you/animate")
    assert (animate.deadline_s, animate.price_usd) == (1_800.0, 0.25)
    assert animate.fallback_models == ("them/animate", "them/animate-old:abc123")
    assert (animate.needs_prompt, animate.required_inputs) == (False, ("image",))
    assert (caption.deadline_s, caption.price_usd, caption.fallback_models) == (None, None, ())
    assert (caption.needs_prompt, caption.required_inputs) == (True, ())


def test_a_file_is_read(tmp_path: Path) -> None:
    """A file gives the same task types as its text."""
    path = tmp_path / "own.toml"
    path.write_text(OWN)

    assert load_task_types(path) == parse_task_types(OWN, str(path))


def test_the_packaged_task_types_are_added_to_image() -> None:
    """There is a type for each use, and image is unchanged."""
    task_types = packaged_task_types()

    media = {"image", "video", "audio", "text"}
    assert set(task_types) == media | {
        *("edit", "upscale", "remove_background"),
        *("describe", "transcribe", "chat"),
    }
    assert task_types["image"] == TASK_TYPES["image"]


def test_input_of_a_new_type_is_validated() -> None:
    """The task gets its type's name, deadline and estimate; the prompt may be optional."""
    task_types = parse_task_types(OWN, "own.toml")

    params = determine_task_params({"type": "animate", "image": B, "num_outputs": 2}, task_types)

    assert (params.task_type, params.model) == ("video_gen", "you/animate")
    assert params.provider_input == {"image": B, "num_outputs": 2}
    assert (params.deadline_s, params.estimated_cost_usd) == (1_800.0, 0.5)
    other = determine_task_params({"type": "animate", "image": B, "model": "a/b"}, task_types)
    assert other.estimated_cost_usd is None


@pytest.mark.parametrize(
    ("input_data", "field"),
    [
        ({"type": "animate"}, "input_data.image"),
        ({"type": "animate", "image": None}, "input_data.image"),
        ({"type": "animate", "image": ""}, "input_data.image"),
        ({"type": "animate", "image": B, "prompt": " "}, "input_data.prompt"),
        ({"type": "caption"}, "input_data.prompt"),
    ],
)
def test_a_refusal_names_the_missing_input(input_data: JSONObject, field: str) -> None:
    """The error names the required input that is absent."""
    with pytest.raises(InvalidInputError) as refusal:
        determine_task_params(input_data, parse_task_types(OWN, "own.toml"))

    assert refusal.value.field == field


@pytest.mark.parametrize(
    ("result", "output", "expected"),
    [
        ("image", [A, B], {"image_url": A, "image_urls": [A, B]}),
        ("file", A, {"output_urls": [A]}),
        ("file", {"video": A, "cover": B}, {"output_urls": [A, B]}),
        ("file", "words", None),
        ("text", ["Once ", "upon"], {"text": "Once upon"}),
        ("text", [" ", "\n"], None),
        ("text", A, {"text": A}),
        ("text", ["see ", A, " or data:x"], {"text": f"see {A} or data:x"}),
        ("text", {"segments": [{"text": "no"}], "transcription": "Hi"}, {"text": "Hi"}),
        ("text", {"label": "cat", "kind": "animal"}, None),
        ("text", {"caption": "a cat"}, {"text": "a cat"}),
        ("text", {"what": "a cat"}, {"text": "a cat"}),
        ("text", 0.98, {"text": "0.98"}),
        (
            "json",
            {"audio": A, "transcript": "Hello"},
            {
                "output": {"audio": A, "transcript": "Hello"},
                "output_urls": [A],
                "text": "Hello",
            },
        ),
        (
            "json",
            {"label": "cat", "score": 0.98},
            {"output": {"label": "cat", "score": 0.98}},
        ),
        ("json", 42, {"output": 42, "text": "42"}),
        ("json", False, {"output": False, "text": "false"}),
        ("json", [[0.1, 0.2]], {"output": [[0.1, 0.2]]}),
        ("json", None, None),
        ("json", [], None),
    ],
)
def test_each_result_form_has_its_own_keys(
    result: str, output: object, expected: JSONObject | None
) -> None:
    """Files are in output_urls, text is in text, pictures are in image_url and image_urls."""
    assert RESULTS[result](normalise_output(output)) == expected


ROW = 'task_type = "x"\ndefault_model = "a/b"\nresult = "file"\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[video", "own.toml: is not valid TOML"),
        ('video = "x"', "own.toml: video: must be a table"),
        (f"[Video]\n{ROW}", "[Video]: the name of a type must be 1 to 40 lower-case letters"),
        ("[v]", "[v] task_type: is missing"),
        ("[v]", "[v] default_model: is missing"),
        ("[v]", "[v] result: is missing"),
        (f'[v]\n{ROW}promt = "x"', "[v] promt: is not a known key; known keys: task_type"),
        (f'[v]\n{ROW}deadline_s = "x"', "[v] deadline_s: must be a number of seconds from 5"),
        (f"[v]\n{ROW}deadline_s = 1", "[v] deadline_s: must be a number of seconds from 5"),
        (f"[v]\n{ROW}deadline_s = inf", "[v] deadline_s: must be a number of seconds from 5"),
        (f"[v]\n{ROW}price_usd = -1", "[v] price_usd: must be a number, 0 or more"),
        (f"[v]\n{ROW}prompt = 1", "[v] prompt: must be true or false"),
        (f'[v]\n{ROW}required_inputs = ["a b"]', "[v] required_inputs.0: must be a list of"),
        (
            f'[v]\n{ROW}fallback_models = ["x"]',
            '[v] fallback_models.0: must be a list of at most 8 strings like "owner/',
        ),
        ('[v]\ntask_type = "x"\ndefault_model = "b"\nresult = "file"', "[v] default_model: must"),
        (
            '[v]\ntask_type = "x"\ndefault_model = "a/b"\nresult = "wav"',
            '[v] result: must be "image", "file"',
        ),
        (
            '[v]\ntask_type = "X Y"\ndefault_model = "a/b"\nresult = "file"',
            "[v] task_type: must be 1 to",
        ),
    ],
)
def test_an_error_names_file_table_and_key(text: str, problem: str) -> None:
    """The error begins with the file and names the table and the key."""
    with pytest.raises(ConfigError) as refusal:
        parse_task_types(text, "own.toml")

    assert problem in str(refusal.value)
    assert str(refusal.value).startswith("own.toml: ")


def test_all_errors_are_reported_at_once() -> None:
    """Two invalid tables give two lines."""
    with pytest.raises(ConfigError) as refusal:
        parse_task_types(f"[a]\n{ROW}x = 1\n[b]\n{ROW}y = 1\n[c]\n{ROW}", "own.toml")

    assert len(str(refusal.value).splitlines()) == 2


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    """A missing file, or one that is not UTF-8, is an error with its path."""
    path = tmp_path / "own.toml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError, match=r"own\.toml: cannot be read"):
        load_task_types(path)
