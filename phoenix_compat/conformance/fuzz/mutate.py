"""Small random changes of a text, which reach what no list of examples has."""

from __future__ import annotations

from random import Random
from typing import Final

QUERY_PIECES: Final = "[]&=+%.;/?aZ09_-é"
"""What is put into paths and queries."""

HEADER_PIECES: Final = ' ,;:=/.-_"@[]%?*aZ019'
"""What is put into header values."""

JSON_PIECES: Final = '{}[],:"\\ \n\ttfn0123456789-+.eEuU/é☃\x00\x7f'
"""What is put into JSON."""


def mutated(rng: Random, text: str, pieces: str) -> str:
    """The text with one to three changes; each at a random place."""
    for _change in range(rng.choice((1, 1, 1, 2, 3))):
        text = _changed(rng, text, pieces)
    return text


def _changed(rng: Random, text: str, pieces: str) -> str:
    at = rng.randint(0, len(text))
    end = min(len(text), at + rng.choice((1, 1, 1, 2, 5)))
    piece = rng.choice(pieces)
    match rng.randrange(6):
        case 0:
            return text[:at] + text[end:]
        case 1:
            return text[:end] + text[at:]
        case 2:
            return text[:at] + piece + text[end:]
        case 3:
            return text[:at] + piece + text[at:]
        case 4:
            return text[:at] + text[at:end].swapcase() + text[end:]
        case _:
            return text[:at] + text[at:end][::-1] + text[end:]
