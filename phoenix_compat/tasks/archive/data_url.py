"""Decodes files that come inline, as `data:` URLs, up to a size limit. No I/O."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

from phoenix_compat.tasks.archive.errors import FileTooLargeError, WrongFileError

_SCHEME = "data:"
_BLOCK_CHARS: Final = 128 * 1024
_WHITE_SPACE: Final = b" \t\n\r\f\v"
_CUT_PERCENT: Final = re.compile(rb"%[0-9a-fA-F]?\Z")


def is_data_url(url: str) -> bool:
    """Whether this is a `data:` URL."""
    return url[: len(_SCHEME)].lower() == _SCHEME


def decode_data_url(url: str, limit_bytes: int) -> bytes:
    """Decode the content of a `data:` URL; its media type is ignored.

    Raises:
        FileTooLargeError: it is larger than `limit_bytes`.
        WrongFileError: it cannot be decoded.
    """
    return b"".join(data_url_blocks(url, limit_bytes))


def data_url_blocks(url: str, limit_bytes: int) -> Iterator[bytes]:
    """Decode a `data:` URL block by block, so that its content is never whole in memory.

    Raises:
        FileTooLargeError: it is larger than `limit_bytes`.
        WrongFileError: it cannot be decoded.
    """
    comma = url.find(",")
    if comma < 0:
        raise WrongFileError("malformed", "the data: URL has no comma")
    decoder = DataUrlDecoder(url[:comma], limit_bytes)
    for start in range(comma + 1, len(url), _BLOCK_CHARS):
        yield decoder.feed(url[start : start + _BLOCK_CHARS].encode(errors="surrogatepass"))
    yield decoder.finish()


class DataUrlDecoder:
    """Decodes the content of a `data:` URL as it arrives.

    Args:
        head: what is before the comma, such as "data:image/jpeg;base64".
        limit_bytes: the limit for the content.
    """

    def __init__(self, head: str, limit_bytes: int) -> None:
        self._is_base64 = head.rstrip().lower().endswith(";base64")
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._percent = b""
        self._quad = b""
        self._has_ended = False

    def feed(self, text: bytes) -> bytes:
        """The content of the next part of the text.

        Raises:
            FileTooLargeError: there is more than the limit.
            WrongFileError: it cannot be decoded.
        """
        return self._checked(self._without_base64(self._without_percent(text)))

    def finish(self) -> bytes:
        """The rest of the content, at the end of the text. Raises as `feed`."""
        content = self._without_base64(unquote_to_bytes(self._percent))
        if self._is_base64 and self._quad:
            content += _from_base64(self._quad + b"=" * (-len(self._quad) % 4))
            self._quad = b""
        return self._checked(content)

    def _without_percent(self, text: bytes) -> bytes:
        if not self._percent and b"%" not in text:
            return text
        text = self._percent + text
        cut = _CUT_PERCENT.search(text)
        end = len(text) if cut is None else cut.start()
        self._percent = text[end:]
        return unquote_to_bytes(text[:end])

    def _without_base64(self, text: bytes) -> bytes:
        if not self._is_base64:
            return text
        text = text.translate(None, _WHITE_SPACE)
        unpadded = text.rstrip(b"=")
        if self._has_ended and unpadded:
            raise _malformed("characters follow its end")
        self._has_ended |= len(unpadded) < len(text)
        unpadded = self._quad + unpadded
        end = len(unpadded) - len(unpadded) % 4
        self._quad = unpadded[end:]
        return _from_base64(unpadded[:end])

    def _checked(self, content: bytes) -> bytes:
        self._size_bytes += len(content)
        if self._size_bytes > self._limit_bytes:
            raise FileTooLargeError(self._limit_bytes)
        return content


def _from_base64(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise _malformed(str(error)) from error


def _malformed(reason: str) -> WrongFileError:
    return WrongFileError("malformed", f"the data: URL is not valid base64: {reason}")
