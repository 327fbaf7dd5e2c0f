"""Photos that the tests make."""

from __future__ import annotations

import base64
import io
from functools import cache
from typing import Any

from PIL import Image


@cache
def photo(side_px: int = 64, *, kind: str = "JPEG", seed: int = 1) -> bytes:
    """A square picture full of noise, so that it is about as large as a photo."""
    noise = Image.effect_noise((side_px, side_px), 64.0 + seed)
    buffer = io.BytesIO()
    Image.merge("RGB", (noise, noise.rotate(90), noise.rotate(180))).save(buffer, kind, quality=90)
    return buffer.getvalue()


def data_url(content: bytes, content_type: str = "image/jpeg") -> str:
    """A file as a `data:` URL."""
    return f"data:{content_type};base64,{base64.b64encode(content).decode('ascii')}"


EDIT_MODEL = "google/nano-banana"


def edit(*images: str, prompt: str = "Make it a painting") -> dict[str, Any]:
    """The body of a task that edits pictures."""
    return {
        "input_data": {
            "type": "image",
            "prompt": prompt,
            "model": EDIT_MODEL,
            "image_input": list(images),
        }
    }
