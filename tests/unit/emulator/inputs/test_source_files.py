"""Which files an input refers to, and what models find out about them."""

from __future__ import annotations

import base64
import io
import wave
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from phoenix_compat.emulator.inputs.source_files import SourceFiles, UnreadableInputError
from phoenix_compat.emulator.inputs.subject import subject_of
from phoenix_compat.emulator.predictions.catalog import find_model
from phoenix_compat.emulator.uploads import Upload, Uploads

ID = "20z778rke5rm80crb5982z0m1g"
ELSEWHERE = "on another server, which the emulator does not ask"
SHA256 = "ab" + "cd" + "0" * 60


def sources(folder: Path | None = None, content: bytes = b"uploaded") -> SourceFiles:
    uploads = Uploads(1_000_000)
    uploads.add(Upload(ID, "a.jpg", "image/jpeg", content, 0.0))
    return SourceFiles(uploads, folder)


def data_url(content: bytes, content_type: str = "image/png") -> str:
    return f"data:{content_type};base64,{base64.b64encode(content).decode()}"


def png(color: str = "blue", size: tuple[int, int] = (40, 30)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


def wav(seconds: float) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as recording:
        recording.setparams((1, 2, 8_000, 0, "NONE", ""))
        recording.writeframes(bytes(int(seconds * 16_000)))
    return buffer.getvalue()


@pytest.mark.parametrize("host", ["https://pictures.example", "http://127.0.0.1:4000/app"])
def test_a_link_to_the_task_server_is_read_from_its_folder(tmp_path: Path, host: str) -> None:
    """Whatever the server's address is."""
    (tmp_path / "ab" / "cd").mkdir(parents=True)
    (tmp_path / "ab" / "cd" / f"{SHA256}.jpg").write_bytes(b"stored")

    assert sources(tmp_path).read(f"{host}/files/{SHA256}.jpg") == b"stored"
    assert sources(tmp_path).read(f"{host}/files/{SHA256}.png") is None
    assert sources().read(f"{host}/files/{SHA256}.jpg") is None


@pytest.mark.parametrize("prefix", ["/v1", "/v1/v1"])
def test_an_upload_is_read(prefix: str) -> None:
    """By the address that POST /files has answered with."""
    assert sources().read(f"http://127.0.0.1:8901{prefix}/files/{ID}") == b"uploaded"


def test_a_data_url_is_read() -> None:
    """In base64, and with percent signs."""
    assert sources().read(data_url(b"inline")) == b"inline"
    assert sources().read("data:text/plain,a%20b") == b"a b"


@pytest.mark.parametrize(
    "value",
    [
        "https://elsewhere.example/a.jpg",
        "http://169.254.169.254/latest/meta-data",
        f"https://elsewhere.example/files/{SHA256}.jpg?x=1",
        "https://elsewhere.example/files/../../etc/passwd",
    ],
)
def test_other_links_are_not_followed(tmp_path: Path, value: str) -> None:
    """The model gets nothing, and works with a picture of the emulator's own."""
    assert sources(tmp_path).read(value) is None


@pytest.mark.parametrize(
    "value",
    [
        "http://127.0.0.1:8901/v1/files/" + "0" * 26,
        "data:image/png;base64,%%%",
        "photo.jpg",
        "file:///etc/passwd",
    ],
)
def test_what_is_no_file_is_an_error(value: str) -> None:
    """The prediction fails with it."""
    with pytest.raises(UnreadableInputError):
        sources().read(value)


@pytest.mark.parametrize(
    ("model", "given", "subject"),
    [
        (
            "openai/gpt-4o-mini",
            {"image_input": [data_url(png())]},
            "a picture of 40 by 30 pixels, mostly blue",
        ),
        (
            "openai/gpt-4o-mini",
            {"image_input": ["https://elsewhere.example/a.jpg", data_url(png("black"))]},
            f"a picture {ELSEWHERE} and a picture of 40 by 30 pixels, mostly black",
        ),
        ("openai/gpt-4o-mini", {"prompt": "Hi"}, None),
        ("google/nano-banana", {"image_input": [data_url(png())]}, None),
        ("openai/gpt-4o-transcribe", {"audio_file": data_url(wav(1.5))}, "WAV of 1.5 s"),
        ("openai/whisper", {"audio": data_url(b"ID3" + bytes(7))}, "MP3 of 10 bytes"),
        ("openai/whisper", {"audio": data_url(b"0000ftypM4A ")}, "MP4 of 12 bytes"),
        ("openai/whisper", {"audio": data_url(b"RIFF0000WAVE")}, "WAV of 12 bytes"),
        (
            "openai/whisper",
            {"audio": "https://elsewhere.example/a.mp3"},
            ELSEWHERE,
        ),
    ],
)
def test_a_model_says_what_it_got(model: str, given: dict[str, Any], subject: str | None) -> None:
    """For models that write; the others only check their files."""
    assert subject_of(find_model(*model.split("/")), given, sources()) == subject


@pytest.mark.parametrize(
    ("model", "given", "error"),
    [
        ("google/nano-banana", {"image_input": [data_url(b"x")]}, "cannot identify image file"),
        ("openai/gpt-4o-mini", {"image_input": [data_url(b"x")]}, "cannot identify image file"),
        ("openai/whisper", {"audio": data_url(png())}, "Audio file might be corrupted"),
        (
            "nightmareai/real-esrgan",
            {"image": data_url(png(size=(1_000, 1_000))), "scale": 8},
            "E1001: CUDA out of memory",
        ),
    ],
)
def test_a_file_that_a_model_cannot_use_is_an_error(
    model: str, given: dict[str, Any], error: str
) -> None:
    """The text is the error of the prediction."""
    with pytest.raises(UnreadableInputError, match=error):
        subject_of(find_model(*model.split("/")), given, sources())
