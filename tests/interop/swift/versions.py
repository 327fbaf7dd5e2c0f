"""What the versions of SwiftPhoenixClient send, read from their sources."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

from phoenix_compat.conformance.suite.wire_client import Headers

_URLSESSION: Final = (
    ("User-Agent", "Monks/1 CFNetwork/1568.100.1 Darwin/24.0.0"),
    ("Accept", "*/*"),
    ("Accept-Language", "en-GB,en;q=0.9"),
    ("Accept-Encoding", "gzip, deflate"),
    ("Sec-WebSocket-Extensions", "permessage-deflate"),
)
_STARSCREAM_EXTENSIONS: Final = (
    "permessage-deflate; client_max_window_bits; server_max_window_bits=15"
)
_SWIFT_SAFE: Final = "+/:?@,;="
"""URLQueryItem leaves these as they are."""
_FAST: Final = (0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class SwiftVersion:
    """One version, with the transport that its apps mostly use.

    Attributes:
        vsn: the query's `vsn`; None sends none, which means V1.
        origin_scheme: of the `Origin` that Starscream sends; None for URLSession, which sends none.
        is_binary: whether frames go out as binary ones that hold JSON text.
        first_ref: of the first join; from 2.0 on, callbacks and channels take refs too.
        retry_s: the waits before it connects again; the last one repeats.
    """

    name: str
    vsn: str | None
    origin_scheme: str | None
    is_binary: bool
    first_ref: int
    retry_s: tuple[float, ...] = _FAST

    def target(self, params: Mapping[str, str]) -> str:
        """The path and query of the handshake: `vsn` first, then the params."""
        pairs = ([("vsn", self.vsn)] if self.vsn else []) + list(params.items())
        query = "&".join(f"{name}={quote(value, safe=_SWIFT_SAFE)}" for name, value in pairs)
        return "/socket/websocket" + (f"?{query}" if query else "")

    def headers(self, url: str) -> Headers:
        """The headers of the handshake, beside those that every websocket has."""
        if self.origin_scheme is None:
            return _URLSESSION
        return (
            ("Origin", f"{self.origin_scheme}://{urlsplit(url).netloc}"),
            ("Sec-WebSocket-Extensions", _STARSCREAM_EXTENSIONS),
        )

    def encode(
        self, join_ref: str | None, ref: str, topic: str, event: str, payload: Mapping[str, Any]
    ) -> str:
        """A frame as NSJSONSerialization writes it: with `\\/` for every slash."""
        frame: Any = [join_ref, ref, topic, event, payload]
        if self.vsn is None:
            frame = {"payload": payload, "event": event, "ref": ref, "topic": topic}
            if join_ref is not None:
                frame["join_ref"] = join_ref
        return json.dumps(frame, separators=(",", ":"), ensure_ascii=False).replace("/", "\\/")

    def decode(self, text: str) -> tuple[Any, Any, str, str, dict[str, Any]] | None:
        """The parts of a frame, or None for one that this version drops without a word."""
        frame = json.loads(text)
        if self.vsn is None:
            names = ("join_ref", "ref", "topic", "event", "payload")
            parts: list[Any] = [frame.get(n) for n in names] if isinstance(frame, dict) else []
        else:
            parts = frame[:5] if isinstance(frame, list) else []
        if len(parts) < 5:
            return None
        join_ref, ref, topic, event, payload = parts
        is_text = isinstance(topic, str) and isinstance(event, str)
        if not is_text or not isinstance(payload, dict):
            return None
        if any(part is not None and not isinstance(part, str) for part in (join_ref, ref)):
            return None
        return join_ref, ref, topic, event, payload


VERSIONS: Final = (
    # After an error 0.9 never connects again: its apps do, after a second for example.
    SwiftVersion("0.9", None, "ws", is_binary=True, first_ref=1, retry_s=(1.0,)),
    SwiftVersion("1.3", None, "http", is_binary=True, first_ref=1),
    SwiftVersion("2.1", None, None, is_binary=True, first_ref=6),
    SwiftVersion("4.0", "2.0.0", None, is_binary=False, first_ref=6),
    SwiftVersion("4.0 with Starscream", "2.0.0", "http", is_binary=False, first_ref=6),
    SwiftVersion("5.3", "2.0.0", None, is_binary=False, first_ref=6),
)
