"""Gives memory back to the system after something large."""

from __future__ import annotations

import ctypes
import sys


def give_memory_back() -> None:
    """Let the C library return what was freed, which it may keep for later. Takes milliseconds.

    Call it when nothing refers to the large objects any more. Does nothing where the library has no
    such function.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # absent in musl
        if trim is not None:
            trim(0)
