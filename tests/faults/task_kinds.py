"""The kinds of tasks that are posted while the server is killed, and the photos that they use."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from typing import Any, Final

from tests.integration.uploads.photo import data_url, photo
from tests.unit.tasks.archive.pictures import camera

_SMALL_PX, _LARGE_PX = 64, 900
_JFIF: Final = slice(6, 11)
_DENSITY: Final = slice(14, 18)
_ON_THE_SIDE: Final = 6


class Kind(Enum):
    """What a task makes, and how it gets a photo."""

    PICTURE = auto()
    EDIT = auto()
    INLINE_EDIT = auto()
    TEXT = auto()


KINDS: Final = (Kind.PICTURE, Kind.PICTURE, Kind.EDIT, Kind.INLINE_EDIT, Kind.TEXT)
"""Of other tasks, beside the one of a step."""


@dataclass(slots=True)
class PostedTask:
    """A task that this client has posted.

    Attributes:
        key: the Idempotency-Key, the same when the post is repeated.
        photo: the file that the task uses.
        task_id: the id from the 202; None while there was none.
    """

    prompt: str
    key: str
    kind: Kind = Kind.PICTURE
    photo: bytes | None = None
    task_id: str | None = None

    def input_data(self, upload_id: str | None) -> dict[str, Any]:
        """The input. Args: upload_id: of the photo, if it was sent before."""
        match self.kind:
            case Kind.PICTURE:
                return {"type": "image", "prompt": self.prompt}
            case Kind.TEXT:
                return {"type": "text", "prompt": self.prompt}
            case Kind.EDIT:
                return {"type": "edit", "prompt": self.prompt, "image": upload_id}
            case Kind.INLINE_EDIT:
                assert self.photo is not None
                url = data_url(self.photo)
                return {"type": "edit", "prompt": self.prompt, "image": url}


def random_photo(rng: random.Random) -> bytes:
    """A photo that was not used before: small or large, and some are cleaned or turned."""
    return _unique(rng.choice((_small, _large, _turned))(), rng)


def large_photo(rng: random.Random) -> bytes:
    """One that is not sent to the provider inline."""
    return _unique(_large(), rng)


def _unique(content: bytes, rng: random.Random) -> bytes:
    assert content[_JFIF] == b"JFIF\0"
    density = struct.pack(">I", rng.getrandbits(32) | 1)
    return content[: _DENSITY.start] + density + content[_DENSITY.stop :]


@cache
def _small() -> bytes:
    return photo(_SMALL_PX)


@cache
def _large() -> bytes:
    """More than what is sent to the provider inline."""
    return photo(_LARGE_PX)


@cache
def _turned() -> bytes:
    content = camera.jpeg(_ON_THE_SIDE)
    start = content.index(b"\xff\xe0")  # the segment that the photos of cameras begin with
    return content[:2] + content[start:]
