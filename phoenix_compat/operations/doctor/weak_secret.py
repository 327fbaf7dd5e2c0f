"""Recognizes secrets that a person made up, or copied from an example.

This is an estimate: it finds the usual mistakes, and says nothing against a secret of random bytes
in any of the usual forms.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Final

MIN_BITS: Final = 80.0
"""32 random decimal digits have about 100 bits in this estimate, 32 hexadecimal ones about 115."""

# Long enough not to turn up by chance in base64 of random bytes.
_COMMON: Final = re.compile(
    rb"secret|passw|passphrase|change.?me|example|token|default|qwerty|admin|letmein|phoenix"
    rb"|1234567|0123456|abcdefg",
    re.IGNORECASE,
)


def weakness_of(secret: bytes) -> str | None:
    """Why a secret can be guessed, without any part of it; None if nothing speaks for that."""
    unit = secret[: _period(secret)]
    if len(unit) < len(secret) and _bits(unit) < MIN_BITS:
        return "it repeats a few characters"
    if _bits(secret) < MIN_BITS:
        return "it is too short, or has too few different characters"
    if _COMMON.search(secret):
        return "it contains a common word or an obvious sequence"
    return None


def _period(secret: bytes) -> int:
    """The length of the shortest start of which the whole secret is a repetition."""
    # The prefix function of Knuth, Morris and Pratt: linear in the size of the secret.
    borders = [0] * len(secret)
    for index in range(1, len(secret)):
        border = borders[index - 1]
        while border and secret[index] != secret[border]:
            border = borders[border - 1]
        borders[index] = border + (secret[index] == secret[border])
    return len(secret) - borders[-1] if secret else 0


def _bits(secret: bytes) -> float:
    """An estimate of the entropy, by how often each character occurs."""
    total = len(secret)
    return sum(count * math.log2(total / count) for count in Counter(secret).values())
