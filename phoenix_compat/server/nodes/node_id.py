"""The id of a node in the store is the number that it has on the bus, in hexadecimal."""

from __future__ import annotations

import re
from typing import Final

_ID: Final = re.compile("[0-9a-f]{1,16}")


def node_id(number: int) -> str:
    """The id of the node with this number."""
    return f"{number:012x}"


def number_of(text: str | None) -> int | None:
    """The number of the node with this id; None if it is not the id of a node."""
    return None if text is None or _ID.fullmatch(text) is None else int(text, 16)
