"""Reads a recording from a file of either format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from phoenix_compat.conformance.trace.recording.frames import Entry, TraceError, read_text
from phoenix_compat.conformance.trace.recording.har import parse_document, parse_har
from phoenix_compat.conformance.trace.recording.jsonl import parse_jsonl


def read_trace(path: Path) -> Sequence[Entry]:
    """Read a recording: a HAR, recognized by its name or first line, or JSON lines.

    Raises:
        TraceError: the file is not valid; the message names the file, the line and the field.
    """
    try:
        text = read_text(path)
        if _is_har(path, text):
            return parse_har(parse_document(text))
        return list(parse_jsonl(text))
    except OSError as error:
        raise TraceError(f"{path}: {error.strerror}") from None
    except TraceError as error:
        raise TraceError(f"{path}: {error}") from None


def _is_har(path: Path, text: str) -> bool:
    if path.suffix.lower() == ".har":
        return True
    first = next((line.strip() for line in text.split("\n") if line.strip()), "")
    if first in {"{", '{"log":{', '{"log": {'}:  # over several lines, as browsers write it
        return True
    try:
        found = json.loads(first)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and "log" in found
