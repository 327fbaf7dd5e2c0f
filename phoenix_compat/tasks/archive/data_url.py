"""Decodes files that come inline, as `data:` URLs, up to a size limit. No I/O."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

from phoenix_compat.tasks.archive.errors import FileTooLargeError, WrongFileError

_SCHEME = "data:"
_BLOCK_CHARS: Final = 256 * 1024


def is_data_url(url: str) -> bool:
    """Whether this is a `data:` URL."""
    return url[: len(_SCHEME)].lower() == _SCHEME


def decode_data_url(url: str, limit_bytes: int) -> bytes:
    """Decode the content of a `data:` URL; its media type is ignored.

    Raises:
        FileTooLargeError: it is larger than `limit_bytes`.
        WrongFileError: it cannot be decoded.
    """
    header, comma, text = url[len(_SCHEME) :].partition(",")
    if not comma:
        raise WrongFileError("malformed", "the data: URL has no comma")
    # Percent-encoding takes three characters for a byte, which is the most.
    if len(text) > 3 * limit_bytes + 4:
        raise FileTooLargeError(limit_bytes)
    content = unquote_to_bytes(text)
    if header.rstrip().lower().endswith(";base64"):
        content = _from_base64(content)
    if len(content) > limit_bytes:
        raise FileTooLargeError(limit_bytes)
    return content


def _from_base64(content: bytes) -> bytes:
    compact = b"".join(content.split()).rstrip(b"=")
    try:
        return base64.b64decode(compact + b"=" * (-len(compact) % 4), validate=True)
    except binascii.Error as error:
        raise WrongFileError("malformed", f"the data: URL is not valid base64: {error}") from error


def data_url_blocks(url: str, limit_bytes: int) -> Iterator[bytes]:
    """Decode a `data:` URL block by block, so that its content is never whole in memory.

    Raises:
        FileTooLargeError: it is larger than `limit_bytes`.
        WrongFileError: it cannot be decoded.
    """
    comma = url.find(",")
    is_base64 = url[:comma].rstrip().lower().endswith(";base64")
    if comma < 0 or not is_base64 or "%" in url:
        yield decode_data_url(url, limit_bytes)
        return
    stop = len(url)
    while url[stop - 1].isspace():
        stop -= 1
    rest = ""
    size_bytes = 0
    for start in range(comma + 1, stop, _BLOCK_CHARS):
        text = "".join((rest, *url[start : min(start + _BLOCK_CHARS, stop)].split()))
        is_last = start + _BLOCK_CHARS >= stop
        end = len(text) if is_last else len(text) - len(text) % 4
        text, rest = text[:end], text[end:]
        try:
            block = _from_base64(text.encode("ascii")) if is_last else _strict(text)
        except ValueError as error:
            raise WrongFileError("malformed", "the data: URL is not valid base64") from error
        size_bytes += len(block)
        if size_bytes > limit_bytes:
            raise FileTooLargeError(limit_bytes)
        yield block


def _strict(text: str) -> bytes:
    # Padding is allowed at the end of the whole text only.
    if "=" in text:
        raise binascii.Error
    return base64.b64decode(text, validate=True)
