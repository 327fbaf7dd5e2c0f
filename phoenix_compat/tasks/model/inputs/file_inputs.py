"""The files in an input: where they are, and the references that stand for them. No I/O.

A posted input may have a file inline, as a `data:` URL. The file is stored once, by the hash of its
content, and the input keeps a reference to it: "upload:<sha256>". What the provider gets instead
of the reference is decided when the create is sent.

A text stays a text, whatever it contains: inputs with names of texts ("prompt") have no files.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from phoenix_compat.tasks.model.inputs.named_inputs import plain

UPLOAD_PREFIX: Final = "upload:"
MAX_FILES: Final = 32
"""The most files that one input may have."""

_UPLOAD: Final = re.compile(r"upload:([0-9a-f]{64})")
_DATA_URL: Final = re.compile(
    r"data:(?:(?:image|audio|video)/[\w.+-]+|application/octet-stream)?(?:;[\w.=+-]+)*,",
    re.ASCII | re.IGNORECASE,
)
_MAX_HEADER_CHARS: Final = 200
_TEXT_NAME: Final = re.compile(
    "prompt|text|caption|lyrics|message|instruction|description|title|question|query|content"
)
_FILE_NAME: Final = re.compile(
    "image|img|mask|photo|picture|frame|audio|sound|song|voice|speech|speaker|music|video|clip|file"
)


class FileInput(NamedTuple):
    """A file of an input.

    Attributes:
        field: its path in the posted body, as "input_data.image" or "input_data.images.0".
        value: the reference or `data:` URL.
    """

    field: str
    value: str


class UsedUpload(NamedTuple):
    """An uploaded file that an input refers to; `field` as for FileInput."""

    field: str
    sha256: str


class StoredInput(NamedTuple):
    """A stored file that a reference stands for.

    Attributes:
        path: where it is on this machine; of a file that is elsewhere only its name.
        local_copy: makes a copy on this machine for the time of a block, if it is elsewhere.
    """

    path: Path
    content_type: str
    size_bytes: int
    local_copy: Callable[[], AbstractAsyncContextManager[Path]] | None = None

    @asynccontextmanager
    async def local(self) -> AsyncIterator[Path]:
        """A path on this machine where the content is, for the time of the block.

        Raises:
            FileNotFoundError: the file is not stored any more.
            FilesUnavailableError: the server that keeps it does not answer.
        """
        if self.local_copy is None:
            yield self.path
            return
        async with self.local_copy() as path:
            yield path


class FindInput(Protocol):
    """Finds the stored file of a hash."""

    async def __call__(self, sha256: str, /) -> StoredInput | None:
        """The file; None when it is not stored (any more).

        Raises:
            FilesUnavailableError: the server that keeps the files does not answer.
        """
        ...


def upload_reference(sha256: str) -> str:
    """The reference to a stored file, which is also the id of an uploaded file."""
    return UPLOAD_PREFIX + sha256


def upload_hash(value: object) -> str | None:
    """The hash in a reference; None for every other value."""
    found = _UPLOAD.fullmatch(value) if isinstance(value, str) else None
    return None if found is None else found[1]


def inline_hash(value: object) -> str | None:
    """The sha256 of the file in a `data:` URL in base64; None for every other value."""
    if not isinstance(value, str) or not _is_inline(value):
        return None
    header, _, text = value.partition(",")
    if not header.lower().endswith(";base64"):
        return None
    try:
        return hashlib.sha256(base64.b64decode(text, validate=True)).hexdigest()
    except ValueError:
        return None


def inline_files(
    input_data: Mapping[str, object], placeholders: Collection[str] = ()
) -> list[FileInput]:
    """The files that come inline: as `data:` URLs, or as one of these placeholders."""
    return [
        one
        for one in _file_values(input_data)
        if one.value in placeholders or _is_inline(one.value)
    ]


def used_uploads(input_data: Mapping[str, object]) -> tuple[UsedUpload, ...]:
    """The stored files that an input refers to, each hash once."""
    found: dict[str, UsedUpload] = {}
    for field, value in _file_values(input_data):
        if (sha256 := upload_hash(value)) is not None:
            found.setdefault(sha256, UsedUpload(field, sha256))
    return tuple(found.values())


def replace_files(
    input_data: Mapping[str, Any], replaced: Callable[[str], object]
) -> dict[str, Any]:
    """The input with other values in place of its files.

    Args:
        replaced: called with each text where a file may be; returns what belongs there.
    """
    result: dict[str, Any] = {}
    for name, value in input_data.items():
        if not is_file_name(name):
            result[name] = value
        elif isinstance(value, list):
            result[name] = [replaced(item) if isinstance(item, str) else item for item in value]
        else:
            result[name] = replaced(value) if isinstance(value, str) else value
    return result


@lru_cache(maxsize=1_024)
def is_file_name(name: str) -> bool:
    """Whether an input of this name may be a file; texts never are."""
    words = plain(name)
    return _FILE_NAME.search(words) is not None or _TEXT_NAME.search(words) is None


def _file_values(input_data: Mapping[str, object]) -> Iterator[FileInput]:
    for name, value in input_data.items():
        if not is_file_name(name):
            continue
        if isinstance(value, str):
            yield FileInput(f"input_data.{name}", value)
        elif isinstance(value, list):
            for number, item in enumerate(value):
                if isinstance(item, str):
                    yield FileInput(f"input_data.{name}.{number}", item)


def is_data_url_head(head: str) -> bool:
    """Whether this text is a `data:` URL up to its comma, with the type of a file."""
    return _DATA_URL.fullmatch(head + ",", 0, _MAX_HEADER_CHARS) is not None


def _is_inline(value: str) -> bool:
    return _DATA_URL.match(value, 0, _MAX_HEADER_CHARS) is not None
