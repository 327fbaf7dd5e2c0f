"""What of an answer is compared.

Not compared, because it may differ between two correct servers, or between two plays:

- the name of the play (`$ID`), tokens of long-poll sessions, `phx_ref`, `phx_ref_prev` and
  `online_at`;
- the order of keys in an object, and how a float is written (`1.0e10` or `10000000000.0`);
- the order of messages of different topics of one client. Within a topic the order counts, except
  for presence, where only the messages of a step count, in any order;
- of an HTTP response: everything but the status, the headers of HEADERS, and the body of a
  long-poll response. The texts of refusals are the server's own.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, TypeAlias

from phoenix_compat.conformance.suite.format_frames import parse_json
from phoenix_compat.conformance.suite.wire_client import HttpResponse

HEADERS: Final = (
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-max-age",
    "cache-control",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-protocol",
    "upgrade",
)
"""The headers of a response that are compared; of a 404 and a 500 none are."""

Answers: TypeAlias = list[dict[str, Any]]
"""What was heard at each step, by client: lines by topic, or the lines of a response."""

RESET: Final = "close ?"
"""The end of a connection that was reset: the close frame may have been on its way."""

_OWN_PAGES: Final = frozenset({404, 500})
_PLAY_NAMES: Final = re.compile(r"fuzz-[0-9a-f]{12}")
_HIDDEN: Final = frozenset({"phx_ref", "phx_ref_prev", "online_at"})

_BINARY_SIZES: Final = {0: (3, 1), 1: (4, 2), 2: (2, 0)}
"""By kind of a binary message, how many sizes its header has and which of them is the topic's:
phoenix/lib/phoenix/socket/serializers/v2_json_serializer.ex."""


def canonical(text: str) -> str:
    """A text message so that equal messages are equal texts."""
    try:
        return _sorted(parse_json(text))
    except (ValueError, RecursionError):
        return f"no JSON: {_PLAY_NAMES.sub('$ID', text)}"


def canonical_bytes(data: bytes) -> str:
    """A binary message, likewise."""
    return f"binary: {_PLAY_NAMES.sub('$ID', data.decode('latin-1'))!r}"


def agree(first: Answers, second: Answers) -> bool:
    """Whether the answers to a conversation are the same.

    A connection is reset if a message reaches the server after it has closed. The close frame is
    lost then, so any other close at this step is the same.
    """
    return first_difference(first, second) is None


def first_difference(first: Answers, second: Answers) -> int | None:
    """The index of the first answer that is not the same; None if all are."""
    for index, (one, other) in enumerate(zip(first, second, strict=False)):
        if one.keys() != other.keys() or not all(_is_same(one[name], other[name]) for name in one):
            return index
    return None if len(first) == len(second) else min(len(first), len(second))


def _is_same(one: Any, other: Any) -> bool:
    if one == other or not (isinstance(one, dict) and isinstance(other, dict)):
        return bool(one == other)
    ends = [heard.get("", [""])[-1] for heard in (one, other)]
    if RESET not in ends or not all(end.startswith("close ") for end in ends):
        return False
    return _without_end(one) == _without_end(other)


def _without_end(heard: dict[str, list[str]]) -> dict[str, list[str]]:
    return {**heard, "": heard[""][:-1]}


def topic_of(text: str) -> str:
    """The topic of a text message; "" if it has none."""
    try:
        message = parse_json(text)
    except (ValueError, RecursionError):
        return ""
    topic = None
    if isinstance(message, dict):
        topic = message.get("topic")
    elif isinstance(message, list) and len(message) == 5:
        topic = message[2]
    return _PLAY_NAMES.sub("$ID", topic) if isinstance(topic, str) else ""


def topic_of_binary(data: bytes) -> str:
    """The topic of a binary message of a server; "" if it has none."""
    count, topic = _BINARY_SIZES.get(data[0], (0, 0)) if data else (0, 0)
    sizes = data[1 : 1 + count]
    if not count or len(sizes) < count:
        return ""
    begin = 1 + count + sum(sizes[:topic])
    name = data[begin : begin + sizes[topic]]
    return _PLAY_NAMES.sub("$ID", name.decode("latin-1"))


def ref_of(text: str) -> Any:
    """The ref of a text message."""
    try:
        message = parse_json(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(message, dict):
        return message.get("ref")
    return message[1] if isinstance(message, list) and len(message) == 5 else None


def canonical_response(response: HttpResponse) -> list[str]:
    """An HTTP response, as lines."""
    lines = [f"HTTP {response.status}"]
    if response.status not in _OWN_PAGES:
        values = ((name, response.header(name)) for name in HEADERS)
        lines += [f"{name}: {value}" for name, value in values if value is not None]
    if response.status == 200 and response.body:
        lines.append(canonical(response.body.decode(errors="replace")))
    return lines


def _sorted(value: Any) -> str:
    return _PLAY_NAMES.sub("$ID", json.dumps(_hidden(value), sort_keys=True, ensure_ascii=False))


def _hidden(value: Any) -> Any:
    if isinstance(value, list):
        return [_hidden(item) for item in value]
    if not isinstance(value, dict):
        return value
    shown = {name: "…" if name in _HIDDEN else _hidden(item) for name, item in value.items()}
    if isinstance(value.get("token"), str) and "status" in value:
        shown["token"] = "…"  # noqa: S105 - hides one
    return shown
