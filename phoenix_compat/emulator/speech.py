"""What the emulated models say: a tone for each word, whose pitch follows from the word."""

from __future__ import annotations

import hashlib
import io
import math
import struct
import wave
from typing import Final

MAX_WORDS: Final = 100
"""Words beyond this are not said."""

_RATE: Final = 16_000
_WORD_S: Final = 0.2
_PAUSE_S: Final = 0.08
_LOUDNESS: Final = 9_000


def spoken(text: str) -> bytes:
    """A WAV file of 16 kHz. Blocking: it takes a millisecond for each word."""
    words = text.split()[:MAX_WORDS] or ["…"]
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, _RATE, 0, "NONE", ""))
        file.writeframes(b"".join(map(_word, words)))
    return buffer.getvalue()


def _word(word: str) -> bytes:
    # JSON may contain a lone surrogate.
    digest = hashlib.sha256(word.lower().encode(errors="replace")).digest()
    step = math.tau * (160 + digest[0]) / _RATE
    count = round(_RATE * _WORD_S)
    tone = [
        # It rises and falls, because a hard edge clicks.
        round(_LOUDNESS * math.sin(math.pi * number / count) * math.sin(step * number))
        for number in range(count)
    ]
    return struct.pack(f"<{count}h", *tone) + bytes(2 * round(_RATE * _PAUSE_S))
