"""Files that come inline, as `data:` URLs: decoded within bounds, and never kept as text. Pure."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_to_bytes

from phoenix_compat.tasks.archive.errors import FileTooLargeError, WrongFileError

_SCHEME = "data:"


def is_data_url(url: str) -> bool:
    """Whether the URL is its own file."""
    return url[: len(_SCHEME)].lower() == _SCHEME


def decoded_data_url(url: str, limit_bytes: int) -> bytes:
    """The file within; what it says of its type is not looked at.

    Raises:
        FileTooLargeError: it has more than `limit_bytes`.
        WrongFileError: it cannot be decoded.
    """
    header, comma, text = url[len(_SCHEME) :].partition(",")
    if not comma:
        raise WrongFileError("malformed", "the data: URL has no comma")
    # Three characters a byte is the most that any encoding takes.
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
        raise WrongFileError("malformed", f"the data: URL is no base64: {error}") from error
