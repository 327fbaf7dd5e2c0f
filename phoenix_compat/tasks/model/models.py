"""A table of model families: the inputs that each accepts, its usual duration and its price.

A model that is not in the table gets every input. The table does not list the allowed values of an
input: the provider checks them, and its refusal names the field.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict, Unpack

from phoenix_compat.tasks.model.errors import InvalidInputError
from phoenix_compat.tasks.model.inputs.output_count import outputs_asked
from phoenix_compat.tasks.model.task import JSONObject

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
    lists: frozenset[str]
    formats: tuple[tuple[str, str], ...]
    streams: bool


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
        lists: the names of inputs that are lists of files.
        formats: the names of inputs that are texts with a number, and how the text is written.
        streams: False if the model answers with an object, in which the text is one part: its
            stream would have the object.
    """

    pattern: str
    inputs: frozenset[str] | None
    expected_s: float
    renames: tuple[tuple[str, str], ...] = ()
    price_usd: float | None = None
    prices_usd: tuple[str, Mapping[str, float]] | None = None
    typical: tuple[tuple[str, int], ...] = ()
    safety_defaults: tuple[tuple[str, str], ...] = ()
    lists: frozenset[str] = frozenset()
    formats: tuple[tuple[str, str], ...] = ()
    streams: bool = True

    def takes(self, name: str) -> bool:
        """Whether the family has an input of this name."""
        return self.inputs is None or name in self.inputs

    def target(self, name: str) -> str | None:
        """The family's name of an input that a client calls `name`; None if it has none."""
        for ours, its in self.renames:
            if ours == name:
                return its
        return name if self.takes(name) else None

    def written(self, target: str, value: object) -> object:
        """A value in the form in which the family's input of this name takes it."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            for name, form in self.formats:
                if name == target:
                    return form.format(value)
        return value

    def add(
        self, accepted: JSONObject, name: str, value: object, *, is_default: bool = False
    ) -> None:
        """Add an input under the family's name of it, if the family has it.

        Args:
            name: the name that the client has written.
            is_default: the client has not written it; another input of that name counts more.

        Raises:
            InvalidInputError: it is several files, and the family takes one.
        """
        target = self.target(name)
        if target is None or (is_default and target in accepted):
            return
        if target in self.lists:
            files = value if isinstance(value, list) else [value]
            earlier = accepted.get(target)
            accepted[target] = [*(earlier if isinstance(earlier, list) else ()), *files]
            return
        if isinstance(value, list) and target != name:
            if len(value) != 1:
                reason = f"has {len(value)} files, and the model takes one; send one"
                raise InvalidInputError(f"input_data.{name}", f"{reason}, or choose another model")
            value = value[0]
        accepted.setdefault(target, self.written(target, value))

    def outputs(self, provider_input: Mapping[str, object]) -> int:
        """How many outputs an input asks for; 1 when it does not say."""
        if self.inputs is None:
            return min(outputs_asked(provider_input), MAX_COUNTED_OUTPUTS)
        count = provider_input.get(self.target(_OUTPUTS) or _OUTPUTS)
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

_CHAT = (
    "prompt system_prompt messages image_input temperature max_completion_tokens top_p "
    "frequency_penalty presence_penalty"
)
_TRANSCRIBE = "audio_file prompt language temperature"
_ANSWER_TOKENS = (("max_completion_tokens", 4_096),)

# Our names of the inputs of the task types "edit", "describe", "transcribe" and "chat".
_TO_IMAGE_INPUT = (("image", "image_input"), ("images", "image_input"))
_TO_INPUT_IMAGE = (("image", "input_image"), ("images", "input_image"))
_TO_CHAT = (*_TO_IMAGE_INPUT, ("max_tokens", "max_completion_tokens"))
_TO_AUDIO_FILE = (("audio", "audio_file"),)
_TO_SEEDREAM = (*_TO_IMAGE_INPUT, (_OUTPUTS, "max_images"))
_IMAGE_INPUTS = frozenset({"image_input"})

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
        _TO_IMAGE_INPUT,
        lists=_IMAGE_INPUTS,
        prices_usd=("resolution", {"1k": 0.15, "2k": 0.15, "4k": 0.30}),
        safety_defaults=_GOOGLE,
    ),
    _family(
        "google/nano-banana*",
        _BANANA,
        12.0,
        0.04,
        _TO_IMAGE_INPUT,
        lists=_IMAGE_INPUTS,
        prices_usd=("resolution", {"1k": 0.04, "2k": 0.15, "4k": 0.15}),
        safety_defaults=_GOOGLE,
    ),
    _family("black-forest-labs/flux-schnell", _FLUX_OPEN, 1.5, 0.003),
    _family(
        "black-forest-labs/flux-dev", f"{_FLUX_OPEN} guidance image prompt_strength", 4.0, 0.025
    ),
    _family("black-forest-labs/flux-kontext-max", _KONTEXT, 8.0, 0.08, _TO_INPUT_IMAGE),
    _family("black-forest-labs/flux-kontext-*", _KONTEXT, 8.0, 0.04, _TO_INPUT_IMAGE),
    _family("black-forest-labs/flux-pro", _FLUX_PRO, 8.0, 0.04),
    _family("black-forest-labs/flux-1.1-pro", _FLUX_PRO, 8.0, 0.04),
    _family("black-forest-labs/flux-1.1-pro*", _FLUX_PRO, 8.0, 0.06),
    _family("bytedance/seedream-4.5", _SEEDREAM, 14.0, 0.04, _TO_SEEDREAM, lists=_IMAGE_INPUTS),
    _family("bytedance/seedream-4*", _SEEDREAM, 14.0, 0.03, _TO_SEEDREAM, lists=_IMAGE_INPUTS),
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
        ((_OUTPUTS, "number_of_images"), ("image", "input_images"), ("images", "input_images")),
        lists=frozenset({"input_images"}),
        prices_usd=("quality", {"auto": 0.05, "low": 0.05, "medium": 0.07, "high": 0.13}),
    ),
    # Topaz bills by pixels of the result: 0.08 up to 24 megapixels, 0.16 up to 48, 0.88 up to 336
    # (Comfy-Org/docs, pull 582, has its list). These are for a photo of 12 megapixels.
    _family(
        "topazlabs/image-upscale",
        "image enhance_model upscale_factor output_format subject_detection face_enhancement "
        "face_enhancement_creativity face_enhancement_strength",
        15.0,
        0.16,
        (("scale", "upscale_factor"),),
        formats=(("upscale_factor", "{}x"),),
        prices_usd=("upscale_factor", {"none": 0.08, "2x": 0.16, "4x": 0.88, "6x": 1.36}),
    ),
    # 0.2 cents a picture, at lumenfall.ai, which runs it at Replicate.
    _family("nightmareai/real-esrgan", "image scale face_enhance", 5.0, 0.002),
    # recraft.ai, "Remove background": 0.01 per request.
    _family("recraft-ai/recraft-remove-background", "image", 4.0, 0.01),
    # Bria's price is the same at several providers (runflow.io, inference.sh): 0.018.
    _family("bria/remove-background", "image preserve_alpha", 5.0, 0.018),
    # OpenAI bills 0.003 and 0.006 dollars a minute; these are for 25 minutes, its longest audio.
    _family("openai/gpt-4o-mini-transcribe", _TRANSCRIBE, 8.0, 0.075, _TO_AUDIO_FILE),
    _family("openai/gpt-4o-transcribe", _TRANSCRIBE, 10.0, 0.15, _TO_AUDIO_FILE),
    # Billed by time, 0.000225 dollars a second (a T4); this is for five minutes of it.
    _family(
        "openai/whisper",
        "audio transcription translate language temperature initial_prompt",
        15.0,
        0.07,
        (("prompt", "initial_prompt"),),
        streams=False,
    ),
    # Dollars for a million tokens in and out: 0.15 and 0.60, 0.40 and 1.60, 2.50 and 10.00. These
    # are for 10,000 tokens and a picture in, and 4,096 tokens out, the models' own maximum.
    _family(
        "openai/gpt-4o-mini",
        _CHAT,
        6.0,
        0.01,
        _TO_CHAT,
        lists=_IMAGE_INPUTS,
        typical=_ANSWER_TOKENS,
    ),
    _family(
        "openai/gpt-4.1-mini",
        _CHAT,
        6.0,
        0.012,
        _TO_CHAT,
        lists=_IMAGE_INPUTS,
        typical=_ANSWER_TOKENS,
    ),
    _family(
        "openai/gpt-4o", _CHAT, 8.0, 0.07, _TO_CHAT, lists=_IMAGE_INPUTS, typical=_ANSWER_TOKENS
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
