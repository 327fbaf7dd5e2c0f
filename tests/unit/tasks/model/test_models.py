"""The table of model families: its rows, counts of outputs, and cost estimates."""

from __future__ import annotations

import datetime

import pytest

from phoenix_compat.tasks.model.models import (
    MODEL_FAMILIES,
    PRICES_AS_OF,
    UNKNOWN_FAMILY,
    estimated_cost_usd,
    model_family,
)


@pytest.mark.parametrize(
    ("model", "inputs", "expected"),
    [
        ("google/imagen-4-fast", {}, 0.02),
        ("google/imagen-4", {}, 0.04),
        ("google/imagen-4-ultra", {}, 0.06),
        ("google/nano-banana-2", {}, 0.04),
        ("google/nano-banana-pro", {}, 0.15),
        ("black-forest-labs/flux-schnell", {"num_outputs": 4}, 0.012),
        ("Black-Forest-Labs/flux-dev:abc", {"num_outputs": 3}, 0.075),
        ("black-forest-labs/flux-kontext-max", {}, 0.08),
        ("bytedance/seedream-4", {"max_images": 2}, 0.06),
        ("bytedance/seedream-4.5", {"max_images": 2}, 0.08),
        ("recraft-ai/recraft-v3-svg", {}, 0.08),
        ("openai/gpt-image-1", {"number_of_images": 2}, 0.1),
        ("you/yours", {}, None),
        # What an input can raise, the estimate follows; an unknown value costs the most.
        ("google/nano-banana-pro", {"resolution": "2K"}, 0.15),
        ("google/nano-banana-pro", {"resolution": "4K"}, 0.3),
        ("google/nano-banana-pro", {"resolution": ["4K"]}, 0.3),
        ("openai/gpt-image-1", {"quality": "high", "number_of_images": 2}, 0.26),
        ("openai/gpt-image-1", {"quality": "auto"}, 0.05),
        ("ideogram-ai/ideogram-v3-quality", {}, 0.09),
        ("stability-ai/sdxl", {"num_inference_steps": 25, "width": 512}, 0.006),
        ("stability-ai/sdxl", {"num_inference_steps": 500}, 0.06),
        ("stability-ai/sdxl", {"width": 2_048, "height": 2_048, "num_outputs": 4}, 0.096),
        ("stability-ai/sdxl", {"refine": "expert_ensemble_refiner"}, 0.012),
        ("stability-ai/sdxl", {"num_inference_steps": 2**62, "width": 2**62}, 60.0),
    ],
)
def test_the_estimate_is_price_times_outputs(
    model: str, inputs: dict[str, object], expected: float | None
) -> None:
    """Each requested output costs the family's price; without a price the estimate is None."""
    assert estimated_cost_usd(model, inputs) == expected


@pytest.mark.parametrize(
    ("count", "outputs"), [(None, 1), (0, 1), (-5, 1), ("4", 1), (True, 1), (4, 4), (10**9, 100)]
)
def test_an_invalid_count_of_outputs_is_limited(count: object, outputs: int) -> None:
    """An invalid number counts as one output, a huge one as the maximum."""
    assert UNKNOWN_FAMILY.outputs({"num_outputs": count}) == outputs


def test_every_row_can_be_reached() -> None:
    """No row comes after a more general one that matches all its models."""
    reached = {
        id(model_family(family.pattern.replace("*", "").rstrip("-"))) for family in MODEL_FAMILIES
    } | {id(model_family(family.pattern.replace("*", "x"))) for family in MODEL_FAMILIES}

    assert reached >= {id(family) for family in MODEL_FAMILIES}


def test_prices_have_a_date() -> None:
    """The table says when its prices were looked up."""
    assert datetime.date.fromisoformat(PRICES_AS_OF).year >= 2026
    assert all(family.price_usd for family in MODEL_FAMILIES)
