"""The names of the objects in a bucket. No I/O.

    ab/cd/<sha256>.<ext>                 a file, under the same path as in a folder
    thumbnails/ab/cd/<sha256>.webp       its thumbnail
    ab/cd/<sha256>.used                  empty; its time is when the file was kept again
    ab/cd/<sha256>.deleting-<token>      empty; somebody is deleting the file

The times of objects are those of the server, and cannot be set as in a folder.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from phoenix_compat.tasks.archive.content_store import THUMBNAIL_EXTENSION
from phoenix_compat.tasks.archive.file_type import TYPES_BY_EXTENSION

THUMBNAILS: Final = "thumbnails/"

_USED: Final = "used"
_DELETING: Final = "deleting-"
_KEY: Final = re.compile(r"([0-9a-f]{2})/([0-9a-f]{2})/([0-9a-f]{64})\.([a-z0-9-]+)")


class KeyParts(NamedTuple):
    """What a key says."""

    sha256: str
    ending: str

    @property
    def is_file(self) -> bool:
        """Whether it is the file itself."""
        return self.ending in TYPES_BY_EXTENSION

    @property
    def is_deleting(self) -> bool:
        """Whether it says that the file is being deleted."""
        return self.ending.startswith(_DELETING)


def key_parts(key: str) -> KeyParts | None:
    """The parts of a key; None for thumbnails, and for what is not of this program."""
    match = _KEY.fullmatch(key)
    if match is None or not match[3].startswith(match[1] + match[2]):
        return None
    return KeyParts(match[3], match[4])


def folder_of(sha256: str) -> str:
    """What the keys of a file begin with, up to its hash."""
    return f"{sha256[:2]}/{sha256[2:4]}"


def file_key(sha256: str, extension: str) -> str:
    """The key of a file."""
    return f"{folder_of(sha256)}/{sha256}.{extension}"


def thumbnail_key(sha256: str) -> str:
    """The key of a file's thumbnail."""
    return f"{THUMBNAILS}{file_key(sha256, THUMBNAIL_EXTENSION)}"


def used_key(sha256: str) -> str:
    """The key of the mark that a file was kept again."""
    return file_key(sha256, _USED)


def deleting_key(sha256: str, token: str) -> str:
    """The key of the mark that a file is being deleted."""
    return file_key(sha256, _DELETING + token)
