"""The table of models that the emulator offers, and how they are found."""

from __future__ import annotations

import re

from phoenix_compat.emulator.predictions.model import Model, OutputShape, Use
from phoenix_compat.emulator.predictions.model_input import InputField
from phoenix_compat.emulator.problem import not_found, version_unknown

_PROMPT = InputField("prompt", is_required=True, description="What the picture shows")
_SEED = InputField("seed", "integer", description="Repeats a picture")
_IMAGE = InputField("image", format="uri", description="A picture to start from")
_NEGATIVE = InputField("negative_prompt", default="", description="What to leave out")


def _choice(name: str, *choices: str, default: str | None = None) -> InputField:
    return InputField(name, choices=choices, default=default or choices[0])


def _count(name: str, default: int, minimum: int, maximum: int) -> InputField:
    return InputField(name, "integer", default=default, minimum=minimum, maximum=maximum)


def _amount(name: str, default: float, minimum: float, maximum: float) -> InputField:
    return InputField(name, "number", default=default, minimum=minimum, maximum=maximum)


_IMAGEN_RATIOS = ("1:1", "9:16", "16:9", "3:4", "4:3")
_FLUX_RATIOS = ("1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3", "9:16", "9:21")
_BANANA_RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")

_IMAGEN = (
    _PROMPT,
    _choice("aspect_ratio", *_IMAGEN_RATIOS),
    _choice(
        "safety_filter_level",
        "block_low_and_above",
        "block_medium_and_above",
        "block_only_high",
        default="block_only_high",
    ),
    _choice("output_format", "jpg", "png"),
)
_IMAGEN_LARGE = (*_IMAGEN, _choice("image_size", "1K", "2K"))
_BANANA = (
    _PROMPT,
    InputField("image_input", "array", description="Pictures to change or combine"),
    _choice("aspect_ratio", "match_input_image", *_BANANA_RATIOS),
    _choice("output_format", "jpg", "png"),
)
_BANANA_2 = (*_BANANA, _choice("resolution", "1K", "2K", "4K"))
_FLUX = (
    _PROMPT,
    _choice("aspect_ratio", *_FLUX_RATIOS),
    _count("num_outputs", 1, 1, 4),
    _SEED,
    _choice("output_format", "webp", "jpg", "png"),
    _count("output_quality", 80, 0, 100),
    InputField("disable_safety_checker", "boolean", default=False),
    InputField("go_fast", "boolean", default=True),
    _choice("megapixels", "1", "0.25"),
)
_FLUX_PRO = (
    _PROMPT,
    _choice("aspect_ratio", "custom", *_FLUX_RATIOS, default="1:1"),
    InputField("width", "integer", minimum=256, maximum=1440),
    InputField("height", "integer", minimum=256, maximum=1440),
    InputField("prompt_upsampling", "boolean", default=False),
    InputField("image_prompt", format="uri"),
    _count("safety_tolerance", 2, 1, 6),
    _SEED,
    _choice("output_format", "webp", "jpg", "png"),
    _count("output_quality", 80, 0, 100),
)
_SDXL = (
    _PROMPT,
    _NEGATIVE,
    _IMAGE,
    InputField("mask", format="uri"),
    _count("width", 1024, 256, 1440),
    _count("height", 1024, 256, 1440),
    _count("num_outputs", 1, 1, 4),
    _choice("scheduler", "DDIM", "DPMSolverMultistep", "K_EULER", "PNDM", default="K_EULER"),
    _count("num_inference_steps", 50, 1, 500),
    _amount("guidance_scale", 7.5, 1, 50),
    _choice("refine", "no_refiner", "expert_ensemble_refiner", "base_image_refiner"),
    _SEED,
)
_RECRAFT = (
    _PROMPT,
    _choice("size", "1024x1024", "1365x1024", "1024x1365", "1536x1024", "1024x1536"),
    _choice("aspect_ratio", "Not set", "1:1", "4:3", "3:4", "3:2", "2:3", "16:9", "9:16"),
    _choice("style", "any", "realistic_image", "digital_illustration"),
)
_TEXT = (
    _PROMPT,
    InputField("system_prompt", default="You are a helpful assistant."),
    _count("max_tokens", 512, 1, 4096),
    _amount("temperature", 0.7, 0, 5),
    _amount("top_p", 0.95, 0, 1),
)
_SEGMENT = (InputField("image", is_required=True, format="uri"), InputField("prompt"))

_KONTEXT = (
    _PROMPT,
    InputField("input_image", format="uri", description="The picture to change"),
    _choice("aspect_ratio", "match_input_image", *_FLUX_RATIOS),
    _SEED,
    _choice("output_format", "png", "jpg"),
    _count("safety_tolerance", 2, 0, 6),
    InputField("prompt_upsampling", "boolean", default=False),
)
_SEEDREAM = (
    _PROMPT,
    InputField("image_input", "array", description="Pictures to change or combine"),
    _choice("size", "2K", "1K", "4K", "custom"),
    _choice("aspect_ratio", "match_input_image", *_BANANA_RATIOS),
    InputField("width", "integer", minimum=1024, maximum=4096),
    InputField("height", "integer", minimum=1024, maximum=4096),
    _choice("sequential_image_generation", "disabled", "auto"),
    _count("max_images", 1, 1, 15),
)
_ONE_IMAGE = InputField("image", is_required=True, format="uri", description="The picture")
_TOPAZ = (
    _ONE_IMAGE,
    _choice("enhance_model", "Standard V2", "Low Resolution V2", "CGI", "High Fidelity V2"),
    _choice("upscale_factor", "None", "2x", "4x", "6x"),
    _choice("output_format", "jpg", "png"),
    _choice("subject_detection", "None", "All", "Foreground", "Background"),
    InputField("face_enhancement", "boolean", default=False),
)
_ESRGAN = (
    _ONE_IMAGE,
    _amount("scale", 4, 0, 10),
    InputField("face_enhance", "boolean", default=False),
)
_CHAT = (
    InputField("prompt", description="What to answer"),
    InputField("system_prompt"),
    InputField("image_input", "array", default=[], description="Pictures that belong to it"),
    _amount("temperature", 1, 0, 2),
    _count("max_completion_tokens", 4096, 1, 16_384),
    _amount("top_p", 1, 0, 1),
)
_TRANSCRIBE = (
    InputField("audio_file", is_required=True, format="uri", description="The recording"),
    InputField("language", description="The language that is spoken"),
    InputField("prompt", description="Words that occur in it"),
    _amount("temperature", 0, 0, 1),
)
_WHISPER = (
    InputField("audio", is_required=True, format="uri", description="The recording"),
    _choice("transcription", "plain text", "srt", "vtt"),
    InputField("translate", "boolean", default=False),
    InputField("language", default="auto"),
    InputField("initial_prompt"),
)
_SEEDANCE = (
    _PROMPT,
    _IMAGE,
    _count("duration", 5, 2, 12),
    _choice("resolution", "720p", "480p", "1080p"),
    _choice("aspect_ratio", "16:9", "4:3", "1:1", "3:4", "9:16", "21:9", "9:21"),
    _SEED,
)
_SPEECH = (
    InputField("text", is_required=True, description="What to say"),
    InputField("voice_id", default="Wise_Woman"),
    _amount("speed", 1, 0.5, 2),
)

_URI, _LIST = OutputShape.URI, OutputShape.URI_LIST
_CHUNKS = OutputShape.TEXT_CHUNKS
_FLUX_DEV = (*_FLUX, _count("num_inference_steps", 28, 1, 50), _amount("guidance", 3, 0, 10))

MODELS: tuple[Model, ...] = (
    Model("google", "imagen-4-fast", _URI, _IMAGEN, "Quick pictures"),
    Model("google", "imagen-4", _URI, _IMAGEN_LARGE, "Fine pictures"),
    Model("google", "imagen-4-ultra", _URI, _IMAGEN_LARGE, "Finest pictures"),
    *(
        Model(
            "google",
            name,
            _URI,
            fields,
            "Makes and edits pictures",
            use=Use.EDIT,
            file_field="image_input",
        )
        for name, fields in (
            ("nano-banana", _BANANA),
            ("nano-banana-2", _BANANA_2),
            ("nano-banana-pro", _BANANA_2),
        )
    ),
    *(
        Model(
            "black-forest-labs",
            name,
            _URI,
            _KONTEXT,
            "Edits a picture",
            use=Use.EDIT,
            file_field="input_image",
        )
        for name in ("flux-kontext-pro", "flux-kontext-max")
    ),
    Model(
        "bytedance",
        "seedream-4",
        _LIST,
        _SEEDREAM,
        "Makes and edits pictures",
        count_field="max_images",
        use=Use.EDIT,
        file_field="image_input",
    ),
    Model(
        "topazlabs",
        "image-upscale",
        _URI,
        _TOPAZ,
        "Enlarges a picture",
        use=Use.UPSCALE,
        file_field="image",
    ),
    Model(
        "nightmareai",
        "real-esrgan",
        _URI,
        _ESRGAN,
        "Enlarges a picture",
        is_official=False,
        use=Use.UPSCALE,
        file_field="image",
    ),
    *(
        Model(
            owner,
            name,
            _URI,
            (_ONE_IMAGE,),
            "Removes the background of a picture",
            use=Use.CUT_OUT,
            file_field="image",
        )
        for owner, name in (
            ("recraft-ai", "recraft-remove-background"),
            ("bria", "remove-background"),
        )
    ),
    *(
        Model(
            "openai",
            name,
            _CHUNKS,
            _CHAT,
            "Writes text, also about pictures",
            use=Use.WRITE,
            file_field="image_input",
        )
        for name in ("gpt-4o-mini", "gpt-4.1-mini", "gpt-4o")
    ),
    *(
        Model(
            "openai",
            name,
            _CHUNKS,
            _TRANSCRIBE,
            "Writes down what is said",
            use=Use.TRANSCRIBE,
            file_field="audio_file",
        )
        for name in ("gpt-4o-mini-transcribe", "gpt-4o-transcribe")
    ),
    Model(
        "openai",
        "whisper",
        OutputShape.TRANSCRIPT,
        _WHISPER,
        "Writes down what is said",
        is_official=False,
        use=Use.TRANSCRIBE,
        file_field="audio",
    ),
    Model(
        "black-forest-labs",
        "flux-schnell",
        _LIST,
        (*_FLUX, _count("num_inference_steps", 4, 1, 4)),
        "Few steps",
        default_steps=4,
    ),
    Model(
        "black-forest-labs",
        "flux-dev",
        _LIST,
        (*_FLUX_DEV, _IMAGE, _amount("prompt_strength", 0.8, 0, 1)),
        "Many steps",
        default_steps=28,
    ),
    Model("black-forest-labs", "flux-1.1-pro", _URI, _FLUX_PRO, "Any size"),
    Model(
        "stability-ai",
        "sdxl",
        _LIST,
        _SDXL,
        "A versioned model",
        default_steps=50,
        is_official=False,
    ),
    Model("recraft-ai", "recraft-v3", _URI, _RECRAFT, "Refuses unknown keys", is_closed=True),
    Model(
        "bytedance",
        "seedance-1-lite",
        _URI,
        _SEEDANCE,
        "Makes videos",
        use=Use.FILM,
        file_field="image",
    ),
    Model("minimax", "speech-02-turbo", _URI, _SPEECH, "Says a text", use=Use.SPEAK),
    Model("meta", "meta-llama-3-8b-instruct", _CHUNKS, _TEXT, "Writes text", use=Use.WRITE),
    Model(
        "emulated",
        "picture-series",
        OutputShape.URI_ITERATOR,
        (_PROMPT, _count("num_outputs", 4, 1, 15)),
        "Pictures that appear one by one",
    ),
    Model("emulated", "cut-out", OutputShape.NAMED_URIS, _SEGMENT, "Answers with an object"),
    Model("emulated", "disabled", _URI, _IMAGEN, "Always refuses", is_disabled=True),
)

_BY_NAME = {model.full_name: model for model in MODELS}
_BY_VERSION = {model.version_id: model for model in MODELS}
_VERSION = re.compile(r"(?:(?P<owner>[\w.-]+)/(?P<name>[\w.-]+))?(?::?(?P<hex>[0-9a-f]{64}))?")


def official_model(owner: str, name: str) -> Model:
    """The model for POST /models/{owner}/{name}/predictions.

    Raises:
        ProblemError: 404 for an unknown model and for a community model, which needs a version.
    """
    model = find_model(owner, name)
    if not model.is_official:
        raise not_found()
    return model


def deployed_model(name: str) -> Model:
    """The model behind a deployment: the official one of this name, or else imagen-4-fast."""
    named = (model for model in MODELS if model.name == name and model.is_official)
    return next(named, _BY_NAME["google/imagen-4-fast"])


def find_model(owner: str, name: str) -> Model:
    """The model with this name. Raises ProblemError (404) when it is not in the table."""
    model = _BY_NAME.get(f"{owner}/{name}")
    if model is None:
        raise not_found()
    return model


def model_of_version(text: str) -> tuple[Model, str]:
    """The model and the version that the `version` of POST /predictions names.

    Any `owner/name:<64 hex>` and any `<64 hex>` is accepted. Without a version, only names of
    official models are; their version is then `hidden`.

    Raises:
        ProblemError: 422, the text has another form, or it is not the name of an official model.
    """
    match = _VERSION.fullmatch(text)
    if match is None or not text:
        raise version_unknown()
    owner, name, version = match["owner"], match["name"], match["hex"]
    if version is None:
        model = _BY_NAME.get(text)
        if model is None or not model.is_official:
            raise version_unknown()
        return model, "hidden"
    if owner is None:
        return _BY_VERSION.get(version) or _community_model("community", version[:8]), version
    return _BY_NAME.get(f"{owner}/{name}") or _community_model(owner, name), version


def _community_model(owner: str, name: str) -> Model:
    # The prompt is optional, because the input of an unknown model is not known.
    prompt = InputField("prompt")
    return Model(owner, name, OutputShape.URI_LIST, (prompt,), default_steps=20, is_official=False)
