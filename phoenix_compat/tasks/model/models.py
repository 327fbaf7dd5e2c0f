"""A table of model families: the inputs that each accepts, its usual duration and its price.

A model that is not in the table gets every input. The table does not list the allowed values of an
input: the provider checks them, and its refusal names the field.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict, Unpack

from phoenix_compat.tasks.model.inputs.output_count import outputs_asked

PRICES_AS_OF = "2026-11-23"
"""When the prices of this table were looked up. They are estimates; the provider's bill is what
counts. For models that charge by time the price is that of a typical picture."""

MAX_COUNTED_OUTPUTS = 100
"""Estimates count at most this many outputs, which is more than any model makes."""

DEPLOYMENTS = "deployments/"
"""How the name of a deployment begins: "deployments/owner/name". It runs whatever model its owner
has put there, on hardware that is paid by time, so its inputs and its price are unknown."""

_OUTPUTS = "num_outputs"


_MAX_FACTOR = 100.0


class _More(TypedDict, total=False):
    prices_usd: tuple[str, Mapping[str, float]]
    typical: tuple[tuple[str, int], ...]
    safety_defaults: tuple[tuple[str, str], ...]


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
        prices_usd: an input that changes this price, and the price for each of its values; a value
            that is not listed costs as much as the dearest.
        typical: inputs that make a prediction take longer, and so cost more, and the values for
            which `price_usd` is meant; the price grows with them.
        safety_defaults: the family's own values of inputs that `safety_inputs` would refuse.
    """

    pattern: str
    inputs: frozenset[str] | None
    expected_s: float
    renames: tuple[tuple[str, str], ...] = ()
    price_usd: float | None = None
    prices_usd: tuple[str, Mapping[str, float]] | None = None
    typical: tuple[tuple[str, int], ...] = ()
    safety_defaults: tuple[tuple[str, str], ...] = ()

    def takes(self, name: str) -> bool:
        """Whether the family has an input of this name."""
        return self.inputs is None or name in self.inputs

    def outputs(self, provider_input: Mapping[str, object]) -> int:
        """How many outputs an input asks for; 1 when it does not say."""
        if self.inputs is None:
            return min(outputs_asked(provider_input), MAX_COUNTED_OUTPUTS)
        name = dict(self.renames).get(_OUTPUTS, _OUTPUTS)
        count = provider_input.get(name)
        if isinstance(count, int) and not isinstance(count, bool):
            return min(max(count, 1), MAX_COUNTED_OUTPUTS)
        return 1

    def cost_usd(self, provider_input: Mapping[str, object]) -> float | None:
        """The most that an input is expected to cost, in US dollars; None without a price."""
        if self.price_usd is None:
            return None
        price = self.price_usd
        if self.prices_usd is not None:
            name, prices = self.prices_usd
            if (chosen := provider_input.get(name)) is not None:
                price = prices.get(str(chosen).lower(), max(prices.values()))
        for name, typical in self.typical:
            value = provider_input.get(name)
            if isinstance(value, int) and value > typical:
                price *= min(value / typical, _MAX_FACTOR)
        return price * self.outputs(provider_input)


def _family(
    pattern: str,
    inputs: str,
    expected_s: float,
    price_usd: float,
    renames: tuple[tuple[str, str], ...] = (),
    **more: Unpack[_More],
) -> ModelFamily:
    accepted = frozenset(inputs.split())
    return ModelFamily(pattern, accepted, expected_s, renames, price_usd, **more)


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
_IDEOGRAM = (
    "prompt aspect_ratio resolution style_type magic_prompt_option negative_prompt seed image mask"
)
_FLUX_PRO = (
    "prompt aspect_ratio width height prompt_upsampling safety_tolerance seed output_format "
    "output_quality image_prompt image_prompt_strength raw"
)

# Google's models block only the worst by default.
_GOOGLE = (("safety_filter_level", "block_only_high"),)

# The first row whose pattern matches applies, so specific patterns come before general ones.
MODEL_FAMILIES: tuple[ModelFamily, ...] = (
    _family("google/imagen-4-fast", _IMAGEN, 4.0, 0.02, safety_defaults=_GOOGLE),
    _family("google/imagen-4-ultra", f"{_IMAGEN} image_size", 8.0, 0.06, safety_defaults=_GOOGLE),
    _family("google/imagen-4*", f"{_IMAGEN} image_size", 8.0, 0.04, safety_defaults=_GOOGLE),
    _family(
        "google/nano-banana-pro",
        _BANANA,
        20.0,
        0.15,
        prices_usd=("resolution", {"1k": 0.15, "2k": 0.15, "4k": 0.30}),
        safety_defaults=_GOOGLE,
    ),
    _family(
        "google/nano-banana*",
        _BANANA,
        12.0,
        0.04,
        prices_usd=("resolution", {"1k": 0.04, "2k": 0.15, "4k": 0.15}),
        safety_defaults=_GOOGLE,
    ),
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
        prices_usd=("refine", {"no_refiner": 0.006, "refined": 0.012}),
        typical=(("num_inference_steps", 50), ("width", 1_024), ("height", 1_024)),
    ),
    _family("ideogram-ai/ideogram-v*-quality", _IDEOGRAM, 12.0, 0.09),
    _family("ideogram-ai/ideogram-v2", _IDEOGRAM, 12.0, 0.08),
    _family("ideogram-ai/ideogram-v*", _IDEOGRAM, 12.0, 0.06),
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
        prices_usd=("quality", {"auto": 0.05, "low": 0.05, "medium": 0.07, "high": 0.13}),
    ),
)

UNKNOWN_FAMILY = ModelFamily("*", None, 10.0)


def deployment_of(model: str) -> str | None:
    """The "owner/name" of a deployment; None for a model."""
    is_deployment = model.lower().startswith(DEPLOYMENTS) and model.count("/") == 2
    return model[len(DEPLOYMENTS) :] if is_deployment else None


def model_family(model: str) -> ModelFamily:
    """The row for "owner/name" or "owner/name:version"; `UNKNOWN_FAMILY` when none matches."""
    name = model.partition(":")[0].lower()
    for family in MODEL_FAMILIES:
        if fnmatch.fnmatchcase(name, family.pattern):
            return family
    return UNKNOWN_FAMILY


def estimated_cost_usd(model: str, provider_input: Mapping[str, object]) -> float | None:
    """The estimated cost of a prediction in US dollars; None for a model without a price."""
    cost = model_family(model).cost_usd(provider_input)
    # Hide the rounding errors of floats.
    return None if cost is None else round(cost, 6)
