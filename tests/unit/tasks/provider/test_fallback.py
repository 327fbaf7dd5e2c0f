"""Which model steps in for one that is gone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from phoenix_compat.tasks.model.task_types import TASK_TYPES
from phoenix_compat.tasks.provider.fallback import next_order
from tests.unit.tasks.sample_tasks import a_task

LIST = ("google/imagen-4-fast", "google/nano-banana-2", "black-forest-labs/flux-schnell")


def test_inputs_are_mapped_for_the_family_that_steps_in() -> None:
    """What the next family does not take is left out, and the fingerprint is that of its order."""
    task = replace(
        a_task(),
        input_data={"type": "image", "prompt": "monk", "seed": 7, "aspect_ratio": "1:1"},
    )

    order = next_order(task, TASK_TYPES, ("black-forest-labs/flux-schnell",))
    other = next_order(task, TASK_TYPES, ("google/nano-banana-2",))

    assert order is not None
    assert other is not None
    assert order.provider_input == {"prompt": "monk", "seed": 7, "aspect_ratio": "1:1"}
    assert other.provider_input == {"prompt": "monk", "aspect_ratio": "1:1"}
    assert order.fingerprint != other.fingerprint


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
    """In the order of the list, and no model that was found gone."""
    task = replace(a_task(), models_tried=tried, provider_model=running)

    order = next_order(task, TASK_TYPES, LIST)

    assert (order and order.model) == expected


def test_a_kind_s_own_list_goes_before_the_usual() -> None:
    """The setting is for task types that say nothing."""
    task_types = {"image": replace(TASK_TYPES["image"], fallback_models=("recraft-ai/recraft-v3",))}

    order = next_order(a_task(), task_types, LIST)

    assert order is not None
    assert order.model == "recraft-ai/recraft-v3"


def test_without_a_list_nothing_steps_in() -> None:
    """That is the default; so it is for a kind that is no more."""
    assert next_order(a_task(), TASK_TYPES) is None
    assert next_order(a_task(), {}, LIST) is None
