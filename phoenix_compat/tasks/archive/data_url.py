"""Decodes files that come inline, as `data:` URLs, up to a size limit. No I/O."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_to_bytes

from phoenix_compat.tasks.archive.errors import FileTooLargeError, WrongFileError

_SCHEME = "data:"


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
