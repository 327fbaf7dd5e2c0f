"""The spelling of a task's id: a UUID in lower case, as it is stored."""

from __future__ import annotations

import re
from typing import Final

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


def stored_spelling(text: str) -> str:
    """The id as it is stored; a text that is no UUID stays as it is.

    RFC 9562, section 4: programs write lower case and read either. Swift's `UUID` writes upper
    case.
    """
    return text.lower() if _UUID.fullmatch(text) else text
