"""The output of a run: in the form of the model, or what the schedule asks for instead."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from phoenix_compat.emulator.json_type import JSON, JsonObject
from phoenix_compat.emulator.predictions.answer import answer_chunks
from phoenix_compat.emulator.predictions.model import OutputShape, Use
from phoenix_compat.emulator.predictions.prediction import Moment, Prediction
from phoenix_compat.emulator.schedule import OutputKind

_FILE_NAME = re.compile(r"(?P<id>[0-9a-z]{26})-(?P<index>\d{1,2})\.(?P<format>jpg|png|webp|wav)")


def output_at(prediction: Prediction, moment: Moment, *, origin: str) -> JSON:
    """The output so far, or None. URLs begin with `origin`."""
    kind = prediction.schedule.output
    if is_written(prediction):
        if moment.started_at_s is None:
            return None
        return list(text_chunks(prediction)[: written_chunks(prediction, moment)])
    ready = ready_pictures(prediction, moment)
    if ready and not moment.has_output:
        return [file_url(prediction, index, origin) for index in range(ready)]
    if not moment.has_output:
        return None
    if kind is OutputKind.LONG_TEXT:
        return list(_tokens(2_500))
    if kind in _FIXED:
        return _FIXED[kind]
    if kind in _URL_COUNTS:
        return [file_url(prediction, index, origin) for index in range(_URL_COUNTS[kind])]
    match kind:
        case OutputKind.DATA_URL:
            return prediction.inline_output
        case OutputKind.DICT:
            return {"image": file_url(prediction, 0, origin), "width": 1024}
        case _:
            return _model_output(prediction, origin)


_URL_COUNTS = {OutputKind.TWO_URLS: 2, OutputKind.THREE_URLS: 3}
_ODD_TEXT = (
    "  Two spaces",
    "\n",
    "\n\n",
    "data: not data\nevent: done\n",
    "",
    "\U0001f9d1\u200d\U0001f373",
    " \u00e4\u0301",
    "\u2028",
    "\x85",
    "\t:comment",
    "\nid: 7",
    " end \n",
)


@cache
def _tokens(count: int) -> tuple[str, ...]:
    return tuple(f"{number} " for number in range(count))


_WRITTEN: dict[OutputKind, Callable[[], tuple[str, ...]]] = {
    OutputKind.MANY_TOKENS: lambda: _tokens(20_000),
    OutputKind.ODD_TEXT: lambda: _ODD_TEXT,
}


def _transcript(text: str) -> JsonObject:
    return {
        "segments": [{"start": 0.0, "end": 1.5, "text": text}],
        "transcription": text,
        "detected_language": "english",
    }


_FIXED: dict[OutputKind, JSON] = {
    OutputKind.NULL: None,
    OutputKind.EMPTY_LIST: [],
    OutputKind.TRANSCRIPT: _transcript("Once upon a time."),
    OutputKind.LABEL: {"label": "cat", "score": 0.98},
    OutputKind.NUMBER: 42,
}


def ready_pictures(prediction: Prediction, moment: Moment) -> int:
    """How many pictures of a model that makes them one by one are ready."""
    is_iterator = prediction.model.output is OutputShape.URI_ITERATOR
    if not is_iterator or prediction.schedule.output is not OutputKind.MODEL:
        return 0
    return int(moment.fraction * prediction.model.picture_count(prediction.input))


def is_written(prediction: Prediction) -> bool:
    """Whether the output is a text that grows while the prediction runs."""
    kind = prediction.schedule.output
    is_text_model = prediction.model.output is OutputShape.TEXT_CHUNKS
    return kind in _WRITTEN or (kind is OutputKind.MODEL and is_text_model)


def written_chunks(prediction: Prediction, moment: Moment) -> int:
    """How many chunks of the text exist at a moment."""
    if moment.started_at_s is None:
        return 0
    number = len(text_chunks(prediction))
    return number if moment.has_output else int(moment.fraction * number)


def text_chunks(prediction: Prediction) -> tuple[str, ...]:
    """All chunks of a text model's answer; joined without a separator they are the text."""
    written = _WRITTEN.get(prediction.schedule.output)
    return written() if written is not None else answer_chunks(prediction)


def file_url(prediction: Prediction, index: int, origin: str) -> str:
    """The URL of picture `index` of this prediction."""
    return f"{origin}/files/{prediction.id}-{index}.{picture_format(prediction)}"


def picture_format(prediction: Prediction) -> str:
    """`jpg`, `png` or `webp`, from the input or as the model's default; `wav` for speech."""
    if prediction.model.use in _FORMATS:
        return _FORMATS[prediction.model.use]
    asked = prediction.input.get("output_format")
    if asked in ("jpg", "png", "webp"):
        return str(asked)
    for field in prediction.model.fields:
        if field.name == "output_format":
            return str(field.default)
    return "png"


_FORMATS = {Use.FILM: "webp", Use.SPEAK: "wav"}


def parse_file_name(name: str) -> tuple[str, int, str] | None:
    """Prediction id, index and format from a file name; None when the name has another form."""
    match = _FILE_NAME.fullmatch(name)
    return (match["id"], int(match["index"]), match["format"]) if match else None


def _model_output(prediction: Prediction, origin: str) -> JSON:
    match prediction.model.output:
        case OutputShape.URI:
            return file_url(prediction, 0, origin)
        case OutputShape.NAMED_URIS:
            return {name: file_url(prediction, i, origin) for i, name in enumerate(_PARTS)}
        case OutputShape.TEXT_CHUNKS:
            return list(text_chunks(prediction))
        case OutputShape.TRANSCRIPT:
            return _transcript("".join(text_chunks(prediction)))
        case OutputShape.URI_LIST | OutputShape.URI_ITERATOR:
            count = prediction.model.picture_count(prediction.input)
            return [file_url(prediction, index, origin) for index in range(count)]


_PARTS = ("image", "mask")
