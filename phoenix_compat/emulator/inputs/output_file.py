"""Makes the file that a model returns: a drawn picture, or what it makes of its input."""

from __future__ import annotations

from functools import partial

from phoenix_compat.emulator.inputs.source_files import SourceFiles, UnreadableInputError
from phoenix_compat.emulator.pictures.altered import (
    Alteration,
    PictureTooLargeError,
    UnreadablePictureError,
    cut_out,
    edit,
    upscale,
    upscale_factor,
)
from phoenix_compat.emulator.pictures.film import film
from phoenix_compat.emulator.pictures.picture import draw_picture
from phoenix_compat.emulator.pictures.picture_cache import PictureCache
from phoenix_compat.emulator.pictures.picture_request import PictureRequest
from phoenix_compat.emulator.predictions.model import Use
from phoenix_compat.emulator.predictions.prediction import Prediction
from phoenix_compat.emulator.speech import spoken

_MAX_CAPTION_CHARS = 200


async def output_file(
    prediction: Prediction, request: PictureRequest, sources: SourceFiles, pictures: PictureCache
) -> bytes:
    """The drawn picture, or what the model makes of the first one of the input, or says."""
    key = f"{prediction.id}-{request.index}"
    if prediction.model.use is Use.SPEAK:
        text = str(prediction.input.get("text", ""))
        return await pictures.altered(key, partial(spoken, text))
    files = prediction.model.files(prediction.input)
    change = _CHANGES.get(prediction.model.use)
    if change is None or not (files or prediction.model.use is Use.FILM):
        return await pictures.picture(request)
    alteration = Alteration(
        change,
        prediction.prompt,
        request.format,
        aspect_ratio=str(prediction.input.get("aspect_ratio", "")),
        factor=upscale_factor(prediction.input),
        seed=f"{request.seed}\0{request.index}",
    )

    def alter() -> bytes:
        if not files:
            return change(_stand_in(prediction.prompt), alteration)
        try:
            return change(_source(sources, files[0]), alteration)
        except (UnreadablePictureError, PictureTooLargeError):
            return change(_stand_in(files[0]), alteration)

    return await pictures.altered(key, alter)


def _source(sources: SourceFiles, value: str) -> bytes:
    """A file of an input; another picture if it is elsewhere, or was lost in a restart."""
    try:
        content = sources.read(value)
    except UnreadableInputError:
        content = None
    return _stand_in(value) if content is None else content


def _stand_in(value: str) -> bytes:
    return draw_picture(PictureRequest(value[:_MAX_CAPTION_CHARS], 1024, 768, "png"))


_CHANGES = {Use.EDIT: edit, Use.UPSCALE: upscale, Use.CUT_OUT: cut_out, Use.FILM: film}
