"""Builds recordings from text, one line per frame.

open vsn=2.0.0                     a handshake; `open 403 vsn=…` was refused, `open ?` has no URL
→ ["1","1","room:a","phx_join",{}] a text frame of the client, ← one of the server
← b64 AAE=                         a binary frame
← close 1001, → ping x, ← pong x   control frames; `← cut` is a connection that was cut
@12.5 → …                          the time in seconds; lines without it keep the previous time
! ← …                              the frame that breaks a rule
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from phoenix_compat.conformance.trace.recording import frames
from phoenix_compat.conformance.trace.recording.frames import Entry, Frame, Side

_LINE = re.compile(r"(?P<mark>! )?(?:@(?P<time>[\d.]+) )?(?P<arrow>[→←] )?(?P<rest>.*)")


@dataclass(frozen=True)
class MarkedRecording:
    """A recording, and the numbers of the frames that break a rule."""

    entries: list[Entry]
    violating: list[int]


def parse_recording(text: str, conn: str = "a") -> MarkedRecording:
    """Parse the text; blank lines are ignored."""
    entries: list[Entry] = []
    violating: list[int] = []
    at_s = 0.0
    for line in filter(None, map(str.strip, text.split("\n"))):
        found = _LINE.fullmatch(line)
        assert found is not None, line
        at_s = float(found["time"] or at_s)
        number = len(entries) + 1
        side = Side.SERVER if found["arrow"] == "← " else Side.CLIENT
        entries.append(
            Entry(number, f"line {number}", conn, at_s, side, _parse_frame(found["rest"]))
        )
        if found["mark"]:
            violating.append(number)
    return MarkedRecording(entries, violating)


def _parse_frame(text: str) -> Frame:
    word, _, rest = text.partition(" ")
    match word:
        case "open":
            return _open(rest)
        case "b64":
            return frames.Binary(base64.b64decode(rest))
        case "close":
            code, _, reason = rest.partition(" ")
            return frames.Close(int(code), reason)
        case "cut":
            return frames.Close(1006)
        case "ping":
            return frames.Ping(rest)
        case "pong":
            return frames.Pong(rest)
        case _:
            return frames.Text(text)


def _open(text: str) -> frames.Open:
    words = text.split()
    status = int(words.pop(0)) if words and words[0].isdigit() else 101
    protocols = [word.removeprefix("offered=") for word in words if word.startswith("offered=")]
    chosen = [word.removeprefix("chosen=") for word in words if word.startswith("chosen=")]
    query = "&".join(word for word in words if "=" in word and word not in _protocol_words(words))
    url = None if "?" in words else f"ws://localhost/socket/websocket?{query}"
    return frames.Open(url, status, tuple(protocols), chosen[0] if chosen else None)


def _protocol_words(words: list[str]) -> set[str]:
    return {word for word in words if word.startswith(("offered=", "chosen="))}
