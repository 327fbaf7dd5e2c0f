"""The headers of answers that clients may read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_TEXT: Final = {"type": "string"}

HEADERS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "Accept-Encoding": ("How bodies may be encoded.", _TEXT),
    "Accept-Post": ("The type that bodies must have.", _TEXT),
    "Accept-Ranges": ("`bytes`: parts of the file can be asked for.", _TEXT),
    "Allow": ("The methods of the path.", _TEXT),
    "Cache-Control": ("How long the answer can be kept.", _TEXT),
    "Content-Range": ("Which part of the file this is.", _TEXT),
    "ETag": ("The hash of the content, in quotes.", _TEXT),
    "Idempotency-Replayed": (
        "`true` if the `Idempotency-Key` was used before, and nothing was stored now.",
        {"const": "true"},
    ),
    "Location": ("The path of the task.", _TEXT),
    "Retry-After": (
        "After how many seconds to try again.",
        {"type": "string", "pattern": "^[1-9][0-9]*$"},
    ),
    "X-Request-Id": ("The id of the request.", {"type": "string", "pattern": "^[!-~]{20,200}$"}),
    "WWW-Authenticate": ("How to authenticate.", {"const": "Bearer"}),
}
"""The text and the schema of each."""
