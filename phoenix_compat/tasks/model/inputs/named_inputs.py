"""Walks the inputs of a model, also nested ones, with their names in a comparable form. No I/O.

A model whose family is unknown gets every input, so nothing is known about the names that it reads:
the rules of the operator look at all names that models are known to use for the same thing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

MAX_NAME_CHARS: Final = 64
"""Longer names are not inputs of any model."""

_SEPARATORS: Final = re.compile(r"[^a-z0-9]+")


class NamedInput(NamedTuple):
    """A value that a model gets.

    Attributes:
        path: where it is, as "options.num_outputs".
        name: its own name in small letters and digits alone, as "numoutputs"; the items of a list
            have the name of the list.
    """

    path: str
    name: str
    value: object


def named_inputs(provider_input: Mapping[str, object]) -> Iterator[NamedInput]:
    """Every value of an input, also those inside objects and lists; it may be nested deeply."""
    left = [NamedInput(str(key), plain(str(key)), value) for key, value in provider_input.items()]
    while left:
        one = left.pop()
        yield one
        if isinstance(one.value, Mapping):
            left += [
                NamedInput(f"{one.path}.{key}", plain(str(key)), value)
                for key, value in one.value.items()
            ]
        elif isinstance(one.value, list):
            left += [
                NamedInput(f"{one.path}.{number}", one.name, value)
                for number, value in enumerate(one.value)
            ]


def plain(name: str) -> str:
    """A name without case and separators: "Num-Outputs" and "numOutputs" are "numoutputs"."""
    return _plain(name) if len(name) <= MAX_NAME_CHARS else ""


@lru_cache(maxsize=1_024)
def _plain(name: str) -> str:
    return _SEPARATORS.sub("", name.lower())


def number_in(value: object) -> float | None:
    """The number that a value is, or that a model may read in it: of 4, "4", "1e6" and "0x10".

    None for everything else.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        # An int may be too large for a float.
        return value if isinstance(value, float) else float(min(max(value, -(2**63)), 2**63))
    if not isinstance(value, str) or len(value) > MAX_NAME_CHARS:
        return None
    try:
        return float(value)
    except ValueError:
        try:
            return float(min(int(value, 0), 2**63))
        except ValueError:
            return None
