"""What a model finds out about the files of its input before it runs. Blocking."""

from __future__ import annotations

import io
import wave
from collections.abc import Sequence
from typing import Final

from phoenix_compat.emulator.inputs.source_files import SourceFiles, UnreadableInputError
from phoenix_compat.emulator.json_type import JsonObject
from phoenix_compat.emulator.pictures.altered import (
    PictureTooLargeError,
    UnreadablePictureError,
    check_picture,
    described_picture,
    upscale_factor,
)
from phoenix_compat.emulator.predictions.model import Model, Use

_ELSEWHERE: Final = "on another server, which the emulator does not ask"
_AUDIO: Final = (
    (b"ID3", "MP3"),
    (b"\xff\xfb", "MP3"),
    (b"\xff\xf3", "MP3"),
    (b"\xff\xf2", "MP3"),
    (b"OggS", "Ogg"),
    (b"fLaC", "FLAC"),
    (b"\x1aE\xdf\xa3", "WebM"),
)


def subject_of(model: Model, model_input: JsonObject, sources: SourceFiles) -> str | None:
    """What a model that writes says about its files; None if there is nothing to say.

    Raises:
        UnreadableInputError: the model cannot use a file; the text is the prediction's `error`.
    """
    files = model.files(model_input)
    if not files:
        return None
    contents = [sources.read(one) for one in files]
    if model.use is Use.TRANSCRIBE:
        return _recording(contents[0])
    factor = upscale_factor(model_input) if model.use is Use.UPSCALE else 1.0
    try:
        for content in contents:
            if content is not None:
                check_picture(content, factor)
        return _pictures(contents) if model.use is Use.WRITE else None
    except UnreadablePictureError as error:
        raise UnreadableInputError("cannot identify image file") from error
    except PictureTooLargeError as error:
        raise UnreadableInputError("E1001: CUDA out of memory") from error


def _pictures(contents: Sequence[bytes | None]) -> str:
    named = [
        f"a picture {_ELSEWHERE}" if content is None else described_picture(content)
        for content in contents
    ]
    return " and ".join(named)


def _recording(content: bytes | None) -> str:
    if content is None:
        return _ELSEWHERE
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        try:
            with wave.open(io.BytesIO(content)) as recording:
                return f"WAV of {recording.getnframes() / recording.getframerate():.1f} s"
        except (wave.Error, EOFError, ZeroDivisionError):
            return f"WAV of {len(content)} bytes"
    kind = next((name for start, name in _AUDIO if content.startswith(start)), None)
    if kind is None and content[4:8] == b"ftyp":
        kind = "MP4"
    if kind is None:
        raise UnreadableInputError("Audio file might be corrupted or unsupported")
    return f"{kind} of {len(content)} bytes"
