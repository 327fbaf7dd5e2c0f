"""Formats violations: as text for people, as JSON for programs."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from phoenix_compat.conformance.suite.cases import shorten
from phoenix_compat.conformance.trace.checker import Violation
from phoenix_compat.conformance.trace.recording import frames
from phoenix_compat.conformance.trace.recording.frames import Entry, Frame, Side
from phoenix_compat.conformance.trace.rules.rule import Level

_ARROWS = {Side.CLIENT: "→", Side.SERVER: "←"}


def format_report(violations: Sequence[Violation], entries: Sequence[Entry]) -> Iterator[str]:
    """The lines of a report: each frame with the rules it breaks, then a summary."""
    last: Entry | None = None
    for violation in violations:
        entry, rule = violation.entry, violation.rule
        if entry is not last:
            conn = printable(entry.conn)
            yield f"frame {entry.number} ({entry.place}), connection {conn}{_time(entry)}"
            yield f"  {_ARROWS[entry.side]} {shorten(printable(format_frame(entry.frame)), 300)}"
            last = entry
        detail = f" [{printable(violation.detail)}]" if violation.detail else ""
        yield f"  {rule.level.value} {rule.id} ({rule.who.value}): {rule.why}{detail}"
        yield f"       source: {rule.source}"
    counts = count(violations)
    connections = len({entry.conn for entry in entries})
    yield (
        f"{len(entries)} frames on {connections} connections: "
        f"{counts['MUST']} MUST, {counts['SHOULD']} SHOULD"
    )


def count(violations: Sequence[Violation]) -> dict[str, int]:
    """The number of violations of each level, including zeros."""
    found = Counter(violation.rule.level for violation in violations)
    return {level.value: found[level] for level in Level}


def as_json(violations: Sequence[Violation], entries: Sequence[Entry]) -> dict[str, Any]:
    """The report as a JSON object."""
    return {
        "frames": len(entries),
        "connections": len({entry.conn for entry in entries}),
        "counts": count(violations),
        "violations": [
            {
                "frame": violation.entry.number,
                "place": violation.entry.place,
                "conn": violation.entry.conn,
                "t": violation.entry.at_s,
                "from": violation.entry.side.value,
                "shown": format_frame(violation.entry.frame),
                "rule": violation.rule.id,
                "level": violation.rule.level.value,
                "who": violation.rule.who.value,
                "source": violation.rule.source,
                "why": violation.rule.why,
                "detail": violation.detail,
            }
            for violation in violations
        ],
    }


def format_frame(frame: Frame) -> str:
    """A frame or a handshake, in one line."""
    match frame:
        case frames.Text(text):
            return text
        case frames.Binary(data):
            return f"binary {base64.b64encode(data).decode()}"
        case frames.Open(url, status):
            return f"open {url or ''} ({status})"
        case frames.Close(code, reason):
            return f"close {code} {reason}".rstrip()
        case frames.Ping(data):
            return f"ping {data}"
        case frames.Pong(data):
            return f"pong {data}"


def printable(text: str) -> str:
    """The text with escapes in place of control and other unprintable characters."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _time(entry: Entry) -> str:
    return "" if entry.at_s is None else f", at {entry.at_s:.3f} s"
