"""Random query strings, requests to the socket's paths, and JSON.

What is listed under "Differs from Phoenix" is left out: keys that are not 16 bytes in base64,
methods and header lines that aiohttp's parser refuses, and JSON of more than 1 000 levels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any, Final
from urllib.parse import quote

from phoenix_compat.conformance.fuzz.mutate import (
    HEADER_PIECES,
    JSON_PIECES,
    QUERY_PIECES,
    mutated,
)
from phoenix_compat.conformance.fuzz.script import Request

KEY: Final = "c2l4dGVlbiByYXcgYnl0ZQ=="
_NAMES: Final = (
    "a",
    "b",
    "a[]",
    "a[b]",
    "a[][b]",
    "a[b][]",
    "a[b][c]",
    "b[a]",
    "[]",
    "a]",
    "a[",
    "",
)
_VALUES: Final = (
    "1",
    "2",
    "",
    "x+y",
    "%20",
    "%zz",
    "%",
    "%C3%A9",
    "=",
    "%26",
    "[",
    "1=2",
    "%00",
    ".",
)
_VERSIONS: Final = (
    "2.0.0",
    "2.0.0",
    "2.0.0",
    "1.0.0",
    "2.0.7",
    "2.0",
    "2",
    "v2.0.0",
    "2.0.0-rc.1",
    "2.0.0%2Bb1",
    "1.1.0",
    "02.0.0",
    "",
    "2.0.1-01",
)
_VERSION_PIECES: Final = "0123456789.-+vrca~ "
_METHODS: Final = ("POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS")
_PATHS: Final = (*("/extra/websocket",) * 3, "/socket/websocket", "/slow/websocket")
_POLL_PATHS: Final = (*("/extra/longpoll",) * 3, "/socket/longpoll", "/slow/longpoll")
"""Most go to `/extra`, which has a list of origins, auth tokens and a short window."""
_ODD_PATHS: Final = (
    "//socket//websocket/",
    "/socket/longpoll/",
    "/socket",
    "/s%6fcket/websocket",
    "/socket/websocket%2F",
    "/Socket/websocket",
    "/socket/./websocket",
    "/socket/../socket/websocket",
    "/socket/websocket/x",
    "/socket;a/websocket",
)
_PARAMS: Final = (
    "token=deny",
    "token=reject",
    "user=u",
    "a=%ff",
    "&&",
    "vsn[]=1",
    "token=x",
    "vsn",
)
_CONTENT_TYPES: Final = ("application/x-ndjson", "text/plain", "", "x", "multipart/form-data")
_ORIGINS: Final = (
    "http://localhost",
    "https://localhost:8443",
    "http://localhost:abc",
    "http://evil.com",
    "null",
    "file://",
    "http://example.com",
    "http://example.com:81",
    "https://scheme.example",
    "http://scheme.example",
    "http://scheme.example:80",
    "http://port.example:81",
    "http://port.example:82",
    "http://a.wild.example",
    "http://wild.example",
    "http://xwild.example",
    "ws://user@localhost:1:2",
    "http://[::1]",
    "//localhost",
    "localhost",
)
_TOKENS: Final = ("YQ", "YQ=", "YQ==", "YWI=", "YWJj", "YWJj=", "", "=", "Y", "Pz8/", "Pz8_", "w6k")
_STRINGS: Final = (
    "",
    "a",
    "é",
    "☃",
    "\U0001f600",
    '"\\/',
    "\b\t\n\f\r",
    "\x01\x7f",
    "\u2028",
    "$ID",
)


def random_query(rng: Random) -> str:
    """A query with nested, repeated and contradicting names; without `vsn`."""
    parts = []
    for _part in range(rng.randint(0, 5)):
        name = rng.choice(_NAMES)
        if rng.random() < 0.2:
            name = name.replace("[", "%5B").replace("]", "%5d")
        parts.append(name if rng.random() < 0.1 else f"{name}={rng.choice(_VALUES)}")
    query = "&".join(parts)
    return mutated(rng, query, QUERY_PIECES) if rng.random() < 0.3 else query


class _Oddity:
    """Decides which parts of a request are odd: in most requests a few, in some none."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._share = rng.choice((0.03, 0.1, 0.1, 0.3))

    def is_odd(self) -> bool:
        return self._rng.random() < self._share

    def choose(self, usual: str, odd: Sequence[str], pieces: str = "") -> str:
        """The usual value, or one of the odd ones, or one that is slightly different."""
        rng = self._rng
        if not self.is_odd():
            return usual
        if pieces and rng.random() < 0.5:
            return mutated(rng, rng.choice((usual, *odd)), pieces)
        return rng.choice(odd)


def random_request(rng: Random) -> Request:
    """A request to one of the socket's paths; mostly a websocket handshake."""
    oddity = _Oddity(rng)
    is_handshake = rng.random() < 0.6
    path = rng.choice(_PATHS if is_handshake else _POLL_PATHS)
    path = oddity.choose(path, _ODD_PATHS, QUERY_PIECES).replace("?", "")
    method = oddity.choose("GET", _METHODS)
    if not is_handshake and rng.random() < 0.4:
        method = rng.choice(("POST", "OPTIONS"))
    query = [f"vsn={oddity.choose('2.0.0', _VERSIONS, _VERSION_PIECES)}"]
    if oddity.is_odd():
        query = []
    if oddity.is_odd():
        query.append(rng.choice(_PARAMS))
    if rng.random() < 0.15:
        query.append(random_query(rng))
    rng.shuffle(query)
    headers = _handshake(rng, oddity) if is_handshake != oddity.is_odd() else []
    if rng.random() < 0.4:
        origin = rng.choice(_ORIGINS)
        headers.append(("Origin", oddity.choose(origin, _ORIGINS, HEADER_PIECES).strip()))
    if rng.random() < 0.3:
        protocols = _protocols(rng)
        protocols = oddity.choose(protocols, ("",), HEADER_PIECES).strip()
        headers.append(("Sec-WebSocket-Protocol", protocols))
    if rng.random() < 0.1:
        asked = oddity.choose("x-a, X-B", ("", "*", "x-a,,"))
        headers.append(("Access-Control-Request-Headers", asked))
    body = ""
    if method in {"POST", "PUT", "PATCH", "DELETE"} and rng.random() < 0.8:
        body = oddity.choose("{}", ("[]", "x", " "), JSON_PIECES)
        if rng.random() < 0.7:
            headers.append(("Content-Type", oddity.choose("application/json", _CONTENT_TYPES)))
    target = path + (f"?{'&'.join(query)}" if query else "")
    version = oddity.choose("HTTP/1.1", ("HTTP/1.0",))
    return Request(method, sendable(target), tuple(headers), body, version)


def sendable(target: str) -> str:
    """The target without spaces, which would end it; other than ASCII in percent-encoding."""
    return quote(target, safe="".join(map(chr, range(0x21, 0x7F))))


def _handshake(rng: Random, oddity: _Oddity) -> list[tuple[str, str]]:
    connections = ("keep-alive, upgrade", "keep-alive", "upgrade,", "upgradex", "close, Upgrade")
    upgrades = ("WebSocket", "h2c, websocket", "x", "websocket/13", "websocket,")
    versions = ("8", "13, 8", "013", "13.0", "")
    headers = [
        ("Connection", oddity.choose("Upgrade", connections, HEADER_PIECES).strip()),
        ("Upgrade", oddity.choose("websocket", upgrades, HEADER_PIECES).strip()),
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Version", oddity.choose("13", versions, HEADER_PIECES).strip()),
    ]
    if oddity.is_odd():
        del headers[rng.randrange(len(headers))]
    if oddity.is_odd():
        headers.append(rng.choice(headers))
    return headers


def random_auth(rng: Random, transport: str) -> tuple[tuple[str, str], ...]:
    """The headers of a client that brings an auth token; mostly none."""
    if rng.random() < 0.7:
        return ()
    if transport == "longpoll":
        return (("X-Phoenix-AuthToken", rng.choice(_TOKENS)),)
    return (("Sec-WebSocket-Protocol", f"phoenix, {_protocols(rng)}".rstrip(", ")),)


def _protocols(rng: Random) -> str:
    names = []
    for name in rng.choices(("phoenix", "foo", "", "Phoenix"), (5, 1, 1, 1), k=rng.randint(1, 3)):
        token = rng.choice(_TOKENS)
        if rng.random() < 0.3:
            token = "".join(rng.choices("AQgw0z/+-_=", k=rng.randint(1, 7)))
        names.append(f"base64url.bearer.phx.{token}" if rng.random() < 0.6 else name)
    return ", ".join(names)


def random_json(rng: Random, depth: int = 0) -> Any:
    """A JSON value."""
    kind = rng.randrange(9 if depth < 3 else 6)
    match kind:
        case 0:
            return None
        case 1:
            return rng.random() < 0.5
        case 2:
            return rng.choice((0, -1, 1, 255, 2**53, -(2**63), 2**64, 10**30))
        case 3:
            return rng.choice((0.0, 1.0, -1.5, 0.1, 1e22, 1.5e-7, 123456789.125))
        case 4 | 5:
            return rng.choice(_STRINGS)
        case 6:
            return [random_json(rng, depth + 1) for _item in range(rng.randint(0, 3))]
        case _:
            return random_object(rng, depth)


def random_object(rng: Random, depth: int = 0) -> dict[str, Any]:
    """A JSON object, as most payloads are."""
    return {
        rng.choice(("a", "b", "é", "", "user", "x y")): random_json(rng, depth + 1)
        for _item in range(rng.randint(0, 3))
    }


def random_text(rng: Random) -> str:
    """A text that is often no message: wrong JSON, or JSON of another form."""
    spoilt = (
        "",
        "x",
        "{}",
        "[]",
        "[1,2,3]",
        "null",
        '["1","2","room:$ID","echo"]',
        '["1","2","room:$ID","echo",{},6]',
        '["1","2","room:$ID","echo",{},1E400]',
        '["1","2","room:$ID","echo",{"a":NaN}]',
        '["1","2","room:$ID","echo",{"a":-0,"b":-0.0,"c":1e2,"d":1E+2,"e":0e0}]',
        '["1","2","room:$ID","echo",{"a":01}]',
        '["1","2","room:$ID","echo",{"a":1.}]',
        '["1","2","room:$ID","echo",{"a":"\\u00e9\\/\\ud83d\\ude00"}]',
        '["1","2","room:$ID","echo",{"a":1,"a":2}]',
        '["1","2","room:$ID","echo",{"a":"\t"}]',
        f'["1","2","room:$ID","echo",{{"a":{"1" * 1024}}}]',
        f'["1","2","room:$ID","echo",{{"a":-{"1" * 1024}}}]',
        f'["1","2","room:$ID","echo",{{"a":0.{"1" * 30},"b":4.9e-324,"c":1e308}}]',
        '["1","2","room:$ID","echo",' + "[" * 90 + "]" * 90 + "]",
        '["1","2","room:$ID","echo",{"a":1E400}]',
        '["1","2","room:$ID","echo",{"a":"\\ud800"}]',
        ' [null,"2","phoenix","heartbeat",{}] ',
        '[null,\n"2","room:$ID",\n"echo",{}]',
        '[null,"2","phoenix","heartbeat",{"a":1,"a":2}]',
        '[null,"2","phoenix","heartbeat",{"a":"\t\x01"}]',
        '[null,"2","phoenix","heartbeat",{"a":"\t"}]',
        '[null,"2","phoenix","heartbeat",{},1E400]',
        '[null,"2",5,"echo",{}]',
        '[null,"2","room:$ID",null,{}]',
        '{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"1"}',
        '{"topic":"phoenix","event":"heartbeat","payload":{}}',
        '{"topic":"phoenix",\n"event":"heartbeat",\n"payload":{},"ref":"1"}',
        '{"topic":null,"event":"x","payload":{},"ref":"1"}',
        '{"topic":"room:$ID","event":"echo","payload":{"a":-0,"b":1e2},"ref":"1","join_ref":"1"}',
        '{"topic":"room:$ID","event":"echo","payload":{},"payload":1,"ref":"1","x":2}',
        '{"topic":"room:$ID","event":"echo","ref":"1"}',
    )
    kind = rng.random()
    if kind < 0.2:
        return json.dumps(random_json(rng))
    text = rng.choice(spoilt)
    return mutated(rng, text, JSON_PIECES) if kind < 0.6 else text
