"""The choice of fallback models."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from phoenix_compat.tasks.model.task_types import TASK_TYPES
from phoenix_compat.tasks.provider.fallback import fallback_params
from tests.unit.tasks.sample_tasks import make_task

LIST = ("google/imagen-4-fast", "google/nano-banana-2", "black-forest-labs/flux-schnell")


def test_inputs_are_mapped_for_the_fallback_model() -> None:
    """Inputs that the next family does not accept are left out, so the fingerprint differs."""
    task = msgspec.structs.replace(
        make_task(),
        input_data={"type": "image", "prompt": "monk", "seed": 7, "aspect_ratio": "1:1"},
    )

    flux = fallback_params(task, TASK_TYPES, ("black-forest-labs/flux-schnell",))
    banana = fallback_params(task, TASK_TYPES, ("google/nano-banana-2",))

    assert flux is not None
    assert banana is not None
    assert flux.provider_input == {"prompt": "monk", "seed": 7, "aspect_ratio": "1:1"}
    assert banana.provider_input == {"prompt": "monk", "aspect_ratio": "1:1"}
    assert flux.fingerprint != banana.fingerprint


@pytest.mark.parametrize(
    ("tried", "running", "expected"),
    [
        ((), None, "google/nano-banana-2"),
        (("google/imagen-4-fast",), "google/nano-banana-2", "black-forest-labs/flux-schnell"),
        (("google/imagen-4-fast", "google/nano-banana-2"), LIST[2], None),
    ],
)
def test_each_model_is_tried_once(
    tried: tuple[str, ...], running: str | None, expected: str | None
) -> None:
    """Models are tried in the order of the list; a model that was tried is skipped."""
    task = msgspec.structs.replace(make_task(), models_tried=tried, provider_model=running)

    params = fallback_params(task, TASK_TYPES, LIST)

    assert (params and params.model) == expected


def test_the_list_of_a_task_type_replaces_the_default() -> None:
    """The default list is for task types without one of their own."""
    task_types = {"image": replace(TASK_TYPES["image"], fallback_models=("recraft-ai/recraft-v3",))}

    params = fallback_params(make_task(), task_types, LIST)

    assert params is not None
    assert params.model == "recraft-ai/recraft-v3"


def test_without_a_list_there_is_no_fallback() -> None:
    """The same holds for a task whose type no longer exists."""
    assert fallback_params(make_task(), TASK_TYPES) is None
    assert fallback_params(make_task(), {}, LIST) is None
