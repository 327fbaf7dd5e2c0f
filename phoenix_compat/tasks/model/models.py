"""A table of model families: the inputs that each accepts, its usual duration and its price.

A model that is not in the table gets every input. The table does not list the allowed values of an
input: the provider checks them, and its refusal names the field.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass

PRICES_AS_OF = "2026-11-23"
"""When the prices of this table were looked up. They are estimates; the provider's bill is what
counts. For models that charge by size or time the price is that of a typical picture."""

MAX_COUNTED_OUTPUTS = 100
"""Estimates count at most this many outputs, which is more than any model makes."""

_OUTPUTS = "num_outputs"


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """Models that accept the same inputs.

    Attributes:
        pattern: a glob over "owner/name".
        inputs: the names that it accepts; None means any.
        expected_s: the usual duration in seconds; progress is estimated from it for models that
            print no progress bar.
        renames: pairs of our name of an input and the family's name.
        price_usd: estimated price of one output in US dollars (see `PRICES_AS_OF`); None when
            it is unknown.
    """

    pattern: str
    inputs: frozenset[str] | None
    expected_s: float
    renames: tuple[tuple[str, str], ...] = ()
    price_usd: float | None = None

    def takes(self, name: str) -> bool:
        """Whether the family has an input of this name."""
        return self.inputs is None or name in self.inputs

    def outputs(self, provider_input: Mapping[str, object]) -> int:
        """How many outputs an input asks for; 1 when it does not say."""
        name = dict(self.renames).get(_OUTPUTS, _OUTPUTS)
        count = provider_input.get(name)
        if isinstance(count, int) and not isinstance(count, bool):
            return min(max(count, 1), MAX_COUNTED_OUTPUTS)
        return 1


def _family(
    pattern: str,
    inputs: str,
    expected_s: float,
    price_usd: float,
    renames: tuple[tuple[str, str], ...] = (),
) -> ModelFamily:
    return ModelFamily(pattern, frozenset(inputs.split()), expected_s, renames, price_usd)


_IMAGEN = "prompt aspect_ratio safety_filter_level output_format"
_BANANA = (
    "prompt aspect_ratio output_format image_input resolution safety_filter_level "
    "allow_fallback_model"
)
_KONTEXT = "prompt input_image aspect_ratio seed output_format safety_tolerance prompt_upsampling"
_SEEDREAM = (
    "prompt aspect_ratio size width height image_input sequential_image_generation max_images"
)
_FLUX_OPEN = (
    "prompt aspect_ratio num_outputs num_inference_steps seed output_format output_quality "
    "megapixels go_fast disable_safety_checker"
)
_FLUX_PRO = (
    "prompt aspect_ratio width height prompt_upsampling safety_tolerance seed output_format "
    "output_quality image_prompt image_prompt_strength raw"
)

# The first row whose pattern matches applies, so specific patterns come before general ones.
MODEL_FAMILIES: tuple[ModelFamily, ...] = (
    _family("google/imagen-4-fast", _IMAGEN, 4.0, 0.02),
    _family("google/imagen-4-ultra", f"{_IMAGEN} image_size", 8.0, 0.06),
    _family("google/imagen-4*", f"{_IMAGEN} image_size", 8.0, 0.04),
    _family("google/nano-banana-pro", _BANANA, 20.0, 0.15),
    _family("google/nano-banana*", _BANANA, 12.0, 0.04),
    _family("black-forest-labs/flux-schnell", _FLUX_OPEN, 1.5, 0.003),
    _family(
        "black-forest-labs/flux-dev", f"{_FLUX_OPEN} guidance image prompt_strength", 4.0, 0.025
    ),
    _family("black-forest-labs/flux-kontext-max", _KONTEXT, 8.0, 0.08),
    _family("black-forest-labs/flux-kontext-*", _KONTEXT, 8.0, 0.04),
    _family("black-forest-labs/flux-pro", _FLUX_PRO, 8.0, 0.04),
    _family("black-forest-labs/flux-1.1-pro", _FLUX_PRO, 8.0, 0.04),
    _family("black-forest-labs/flux-1.1-pro*", _FLUX_PRO, 8.0, 0.06),
    _family("bytedance/seedream-4.5", _SEEDREAM, 14.0, 0.04, renames=((_OUTPUTS, "max_images"),)),
    _family("bytedance/seedream-4*", _SEEDREAM, 14.0, 0.03, renames=((_OUTPUTS, "max_images"),)),
    _family(
        "stability-ai/sdxl",
        "prompt negative_prompt width height num_outputs num_inference_steps guidance_scale "
        "scheduler refine seed image mask prompt_strength",
        6.0,
        0.006,
    ),
    _family(
        "ideogram-ai/ideogram-v*",
        "prompt aspect_ratio resolution style_type magic_prompt_option negative_prompt seed "
        "image mask",
        12.0,
        0.06,
    ),
    _family("recraft-ai/recraft-v*-svg", "prompt aspect_ratio size style", 10.0, 0.08),
    _family("recraft-ai/recraft-v*", "prompt aspect_ratio size style", 10.0, 0.04),
    _family(
        "qwen/qwen-image",
        "prompt aspect_ratio image_size guidance num_inference_steps go_fast enhance_prompt "
        "negative_prompt image strength output_format output_quality seed disable_safety_checker",
        8.0,
        0.025,
    ),
    _family(
        "openai/gpt-image-*",
        "prompt aspect_ratio quality background moderation number_of_images input_images "
        "output_format output_compression",
        25.0,
        0.05,
        ((_OUTPUTS, "number_of_images"),),
    ),
)

UNKNOWN_FAMILY = ModelFamily("*", None, 10.0)


def model_family(model: str) -> ModelFamily:
    """The row for "owner/name" or "owner/name:version"; `UNKNOWN_FAMILY` when none matches."""
    name = model.partition(":")[0].lower()
    for family in MODEL_FAMILIES:
        if fnmatch.fnmatchcase(name, family.pattern):
            return family
    return UNKNOWN_FAMILY


def estimated_cost_usd(model: str, provider_input: Mapping[str, object]) -> float | None:
    """The estimated cost of a prediction in US dollars; None for a model without a price."""
    family = model_family(model)
    if family.price_usd is None:
        return None
    # Hide the rounding errors of floats.
    return round(family.price_usd * family.outputs(provider_input), 6)
