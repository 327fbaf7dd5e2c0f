"""What is known of model families: which inputs each takes, and how long it runs.

A table, not a registry: a model that no row names is passed every input. Prices and enums are
not here; the provider checks values and its refusal names the field.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """Models that take the same inputs.

    Attributes:
        pattern: a glob over "owner/name".
        inputs: the names it takes; None means any.
        expected_s: a usual run, in seconds; drives the progress of models that print none.
        renames: our name of an input -> the family's name.
    """

    pattern: str
    inputs: frozenset[str] | None
    expected_s: float
    renames: tuple[tuple[str, str], ...] = ()

    def takes(self, name: str) -> bool:
        """Whether the family has an input of this name."""
        return self.inputs is None or name in self.inputs


def _family(
    pattern: str, inputs: str, expected_s: float, renames: tuple[tuple[str, str], ...] = ()
) -> ModelFamily:
    return ModelFamily(pattern, frozenset(inputs.split()), expected_s, renames)


_IMAGEN = "prompt aspect_ratio safety_filter_level output_format"
_FLUX_OPEN = (
    "prompt aspect_ratio num_outputs num_inference_steps seed output_format output_quality "
    "megapixels go_fast disable_safety_checker"
)
_FLUX_PRO = (
    "prompt aspect_ratio width height prompt_upsampling safety_tolerance seed output_format "
    "output_quality image_prompt image_prompt_strength raw"
)

# The first row whose pattern matches counts, so narrow patterns stand before wide ones.
MODEL_FAMILIES: tuple[ModelFamily, ...] = (
    _family("google/imagen-4-fast", _IMAGEN, 4.0),
    _family("google/imagen-4*", f"{_IMAGEN} image_size", 8.0),
    _family(
        "google/nano-banana*",
        "prompt aspect_ratio output_format image_input resolution safety_filter_level "
        "allow_fallback_model",
        12.0,
    ),
    _family("black-forest-labs/flux-schnell", _FLUX_OPEN, 1.5),
    _family("black-forest-labs/flux-dev", f"{_FLUX_OPEN} guidance image prompt_strength", 4.0),
    _family(
        "black-forest-labs/flux-kontext-*",
        "prompt input_image aspect_ratio seed output_format safety_tolerance prompt_upsampling",
        8.0,
    ),
    _family("black-forest-labs/flux-pro", _FLUX_PRO, 8.0),
    _family("black-forest-labs/flux-1.1-pro*", _FLUX_PRO, 8.0),
    _family(
        "bytedance/seedream-4*",
        "prompt aspect_ratio size width height image_input sequential_image_generation max_images",
        14.0,
        (("num_outputs", "max_images"),),
    ),
    _family(
        "stability-ai/sdxl",
        "prompt negative_prompt width height num_outputs num_inference_steps guidance_scale "
        "scheduler refine seed image mask prompt_strength",
        6.0,
    ),
    _family(
        "ideogram-ai/ideogram-v*",
        "prompt aspect_ratio resolution style_type magic_prompt_option negative_prompt seed "
        "image mask",
        12.0,
    ),
    _family("recraft-ai/recraft-v*", "prompt aspect_ratio size style", 10.0),
    _family(
        "qwen/qwen-image",
        "prompt aspect_ratio image_size guidance num_inference_steps go_fast enhance_prompt "
        "negative_prompt image strength output_format output_quality seed disable_safety_checker",
        8.0,
    ),
    _family(
        "openai/gpt-image-*",
        "prompt aspect_ratio quality background moderation number_of_images input_images "
        "output_format output_compression",
        25.0,
        (("num_outputs", "number_of_images"),),
    ),
)

UNKNOWN_FAMILY = ModelFamily("*", None, 10.0)


def model_family(model: str) -> ModelFamily:
    """The row for "owner/name" or "owner/name:version"; `UNKNOWN_FAMILY` when none fits."""
    name = model.partition(":")[0].lower()
    for family in MODEL_FAMILIES:
        if fnmatch.fnmatchcase(name, family.pattern):
            return family
    return UNKNOWN_FAMILY
