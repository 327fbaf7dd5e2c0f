"""Which listed prediction is a task's, whatever form the list shows its input in (C9)."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import msgspec
import pytest

from phoenix_compat.tasks.model.task import Task
from phoenix_compat.tasks.model.task_types import fingerprint
from phoenix_compat.tasks.provider.prediction_document import PredictionDocument
from phoenix_compat.tasks.provider.recognition import Match, listed_urls, match
from tests.unit.tasks.sample_tasks import make_task

MODEL = "google/imagen-4-fast"
INPUT: dict[str, Any] = {
    "prompt": "Medieval  monk",
    "seed": 7,
    "go_fast": True,
    "image": "data:image/png;base64,AAAA",
}


def lost(provider_input: dict[str, Any] | None = None, model: str = MODEL) -> Task:
    """A task that has lost the answer to its create."""
    given = INPUT if provider_input is None else provider_input
    return msgspec.structs.replace(
        make_task(), model=model, provider_input=given, fingerprint=fingerprint(model, given)
    )


def listed(**fields: Any) -> PredictionDocument:
    """An entry of the provider's list."""
    return PredictionDocument.model_validate({"id": "p-1", "model": MODEL, "input": INPUT} | fields)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, Match.OURS),
        ({"output_format": "jpg"}, Match.OURS),
        ({"prompt": "Medieval monk "}, Match.OURS),
        ({"seed": 7.0}, Match.OURS),
        ({"seed": "7"}, Match.OURS),
        ({"go_fast": "true"}, Match.OURS),
        ({"image": "https://replicate.delivery/x.png"}, Match.MAYBE),
        ({"image": None}, Match.MAYBE),
        ({"prompt": "Another"}, Match.FOREIGN),
        ({"seed": 8}, Match.FOREIGN),
        ({"go_fast": False}, Match.FOREIGN),
    ],
)
def test_the_forms_of_an_input(changed: dict[str, Any], expected: Match) -> None:
    """Defaults, white space and the spelling of numbers do not matter; files cannot be compared."""
    assert match(listed(input=INPUT | changed), lost()) is expected


@pytest.mark.parametrize("value", [None, [], "removed"])
def test_a_list_without_inputs_is_not_proof(value: object) -> None:
    """A prediction of the same model that may be ours is never taken for a foreign one."""
    assert match(listed(input=value), lost()) is Match.MAYBE
    assert match(listed(model=None, input=value), lost()) is Match.MAYBE
    assert match(listed(model="other/model", input=value), lost()) is Match.FOREIGN


def test_an_input_that_is_missing_is_not_proof() -> None:
    """An input that the list leaves out may have been ours."""
    rest = {name: value for name, value in INPUT.items() if name != "seed"}

    assert match(listed(input=rest), lost()) is Match.MAYBE


@pytest.mark.parametrize(("task", "expected"), [("t-1", Match.OURS), ("t-2", Match.FOREIGN)])
def test_our_own_mark_decides(task: str, expected: Match) -> None:
    """The address of the webhook names the task, whatever the input looks like."""
    webhook = f"https://our.example/webhooks/replicate?task={task}&tag=x"

    assert match(listed(input=None, webhook=webhook), lost()) is expected


@pytest.mark.parametrize(
    ("version", "expected"), [("abc", Match.OURS), (None, Match.OURS), ("def", Match.FOREIGN)]
)
def test_a_pinned_version(version: str | None, expected: Match) -> None:
    """A task with a version has no prediction of another version."""
    assert match(listed(version=version), lost(model=f"{MODEL}:abc")) is expected


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ({"a": [1, "x"]}, {"a": ["1", "X "]}, Match.OURS),
        ({"a": [1]}, {"a": [2]}, Match.FOREIGN),
        ({"a": [1]}, {"a": [1, 2]}, Match.MAYBE),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, Match.OURS),
        ({"a": {"b": 1}}, {"a": "b"}, Match.MAYBE),
        ({}, {"prompt": "x"}, Match.MAYBE),
    ],
)
def test_nested_inputs(ours: dict[str, Any], theirs: dict[str, Any], expected: Match) -> None:
    """Lists and objects are compared item by item; another shape is no proof either way."""
    assert match(listed(input=theirs), lost(ours)) is expected


@pytest.mark.parametrize(
    ("model", "changed", "expected"),
    [
        ("deployments/me/mine", {"deployment": "me/mine"}, Match.OURS),
        ("deployments/me/mine", {"deployment": "Me/Mine", "model": "a/b"}, Match.OURS),
        ("deployments/me/mine", {"deployment": "me/other"}, Match.FOREIGN),
        ("deployments/me/mine", {"deployment": "me/mine", "input": {"seed": 8}}, Match.FOREIGN),
        ("deployments/me/mine", {}, Match.MAYBE),
        (MODEL, {"deployment": "me/mine"}, Match.FOREIGN),
    ],
)
def test_a_deployment_runs_a_model_of_another_name(
    model: str, changed: dict[str, Any], expected: Match
) -> None:
    """C15: the list names the deployment beside the model; without it, nothing is proven."""
    ours = {"seed": 7}

    assert match(listed(**({"input": ours} | changed)), lost(ours, model)) is expected


def test_a_stored_file_that_was_sent_inline_is_recognised() -> None:
    """The content is compared, not the spelling; an address in its place proves nothing."""
    content = b"the photo"
    ours = {"prompt": "Medieval monk", "image": f"upload:{hashlib.sha256(content).hexdigest()}"}
    inline = f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"
    expected = {
        inline: Match.OURS,
        inline.replace("image/jpeg", "application/octet-stream"): Match.OURS,
        "data:image/jpeg;base64,AAAA": Match.MAYBE,
        "https://replicate.delivery/x.png": Match.MAYBE,
        "removed": Match.MAYBE,
    }

    for image, result in expected.items():
        assert match(listed(input={**ours, "image": image}), lost(ours)) is result, image


def test_a_stored_file_that_was_sent_as_a_copy_or_a_link_is_recognised() -> None:
    """Addresses that stand for another file of ours belong to another task."""
    sha256, other = "0123456789abcdef" * 4, "f" * 64
    ours = {"prompt": "Medieval monk", "images": [f"upload:{sha256}"]}
    sent = {"https://api.example/v1/files/a": sha256, "https://api.example/v1/files/b": other}
    expected = {
        "https://api.example/v1/files/a": Match.OURS,
        "https://api.example/v1/files/b": Match.FOREIGN,
        "https://api.example/v1/files/c": Match.MAYBE,
        f"https://pictures.example/files/{sha256}.jpg": Match.OURS,
        f"https://pictures.example/files/{other}.jpg": Match.FOREIGN,
    }

    for image, result in expected.items():
        prediction = listed(input={**ours, "images": [image, "x"][:1]})

        assert match(prediction, lost(ours), sent) is result, image
        assert list(listed_urls(prediction)) == [image]
