"""The trace that a task belongs to, as the header `traceparent` names it.

    00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01     version, trace, parent span, flags

Source: W3C Trace Context, level 1, section 3.2.
"""

from __future__ import annotations

import re
from typing import Final

_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII
)


def traceparent_or_none(value: object) -> str | None:
    """The value, if it is valid; None otherwise, for a trace must never stop a task."""
    return value if isinstance(value, str) and _TRACEPARENT.fullmatch(value) else None
