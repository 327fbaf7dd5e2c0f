"""The text of one prediction so far, put together from its stream and from polls. No I/O.

A part of the text comes with its position, so a part that comes again changes nothing, and a part
that does not fit is noticed. A whole text, of a poll or of the result, is the provider's last word.
"""

from __future__ import annotations

from typing import Final

from phoenix_compat.tasks.model.results.output import MAX_TEXT_BYTES

_SURROGATES: Final = "surrogatepass"


class WrittenText:
    """A text that grows, up to `MAX_TEXT_BYTES`; what is beyond is left out, as in results.

    Attributes:
        prediction_id: the prediction that writes it. Another prediction writes another text.
        chars: its length in characters (code points).
        units: its length in UTF-16 code units, in which clients count.
        version: grows each time that the text was replaced instead of continued.
        is_full: whether it has reached the limit, so that nothing more is taken.
    """

    __slots__ = ("_bytes", "_parts", "chars", "is_full", "prediction_id", "units", "version")

    def __init__(self, prediction_id: str) -> None:
        self.prediction_id = prediction_id
        self.chars = 0
        self.units = 0
        self.version = 0
        self.is_full = False
        self._bytes = 0
        self._parts: list[str] = []

    @property
    def text(self) -> str:
        """The whole text."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    @property
    def size_bytes(self) -> int:
        """Its length in bytes of UTF-8."""
        return self._bytes

    def since(self, chars: int) -> str:
        """The text after its first `chars` characters."""
        # Only the last parts are joined: this is called for each event that clients get.
        tail: list[str] = []
        missing = self.chars - chars
        for part in reversed(self._parts):
            if missing <= 0:
                break
            tail.append(part)
            missing -= len(part)
        return "".join(reversed(tail))[-missing if missing < 0 else 0 :]

    def write(self, start: int, part: str) -> bool:
        """Add a part of the text that begins after `start` characters.

        Returns:
            Whether it fits: False if characters before it are missing, or if others are known in
            its place. The text is then unchanged.
        """
        if start > self.chars:
            return self.is_full
        if start < self.chars:
            known = self.text[start : start + len(part)]
            if not part.startswith(known):
                return False
            part = part[len(known) :]
        self._append(part)
        return True

    def correct(self, whole: str, *, is_final: bool = False) -> bool:
        """Compare with the whole text as the provider shows it, and take over what differs.

        Args:
            is_final: False if the stream may be ahead of `whole`.

        Returns:
            Whether they agreed, as far as both go.
        """
        current = self.text
        if whole.startswith(current):
            self._append(whole[len(current) :])
            return True
        if not is_final and current.startswith(whole):
            return True
        self._parts, self.chars, self.units, self._bytes = [], 0, 0, 0
        self.is_full = False
        self.version += 1
        self._append(whole)
        return False

    def _append(self, part: str) -> None:
        if not part or self.is_full:
            return
        data = part.encode("utf-8", _SURROGATES)
        if self._bytes + len(data) > MAX_TEXT_BYTES:
            part = data[: MAX_TEXT_BYTES - self._bytes].decode("utf-8", "ignore")
            data = part.encode()
            self.is_full = True
            if not part:
                return
        self._bytes += len(data)
        self._parts.append(part)
        self.chars += len(part)
        self.units += len(part) if part.isascii() else utf16_units(part)


def utf16_units(text: str) -> int:
    """The length of a text in UTF-16 code units: JavaScript's `length`, Swift's `utf16.count`."""
    return len(text.encode("utf-16-le", _SURROGATES)) // 2
