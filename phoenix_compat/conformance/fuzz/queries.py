"""Random query strings, requests to the socket's paths, and JSON.

What is listed under "Differs from Phoenix" is left out: keys that are not 16 bytes in base64,
methods and header lines that aiohttp's parser refuses, and JSON of more than 1 000 levels.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any, Final

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
_METHODS: Final = ("GET",) * 6 + ("POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS")
_PATHS: Final = (
    "/socket/websocket",
    "/socket/websocket",
    "/extra/websocket",
    "/extra/websocket",
    "/socket/longpoll",
    "/extra/longpoll",
    "//socket//websocket/",
    "/socket/longpoll/",
    "/slow/websocket",
    "/slow/longpoll",
    "/socket",
    "/s%6fcket/websocket",
    "/socket/websocket%2F",
    "/Socket/websocket",
)
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
    return "&".join(parts)


def random_request(rng: Random) -> Request:
    """A request to one of the socket's paths; often a websocket handshake."""
    method, path = rng.choice(_METHODS), rng.choice(_PATHS)
    query = []
    if rng.random() < 0.85:
        query.append(f"vsn={rng.choice(_VERSIONS)}")
    if rng.random() < 0.2:
        query.append(rng.choice(("token=deny", "token=reject", "user=u", "a=%ff", "&&", "vsn[]=1")))
    if rng.random() < 0.2:
        query.append(random_query(rng))
    rng.shuffle(query)
    headers: list[tuple[str, str]] = []
    if rng.random() < 0.75:
        headers += _handshake(rng)
    if rng.random() < 0.4:
        headers.append(("Origin", rng.choice(_ORIGINS)))
    if rng.random() < 0.3:
        headers.append(("Sec-WebSocket-Protocol", _protocols(rng)))
    if rng.random() < 0.1:
        headers.append(("Access-Control-Request-Headers", "x-a, X-B"))
    body = "{}" if method in {"POST", "PUT"} else ""
    target = path + (f"?{'&'.join(query)}" if query else "")
    version = "HTTP/1.0" if rng.random() < 0.05 else "HTTP/1.1"
    return Request(method, target, tuple(headers), body, version)


def _handshake(rng: Random) -> list[tuple[str, str]]:
    headers = [
        ("Connection", rng.choice(("Upgrade", "Upgrade", "keep-alive, upgrade", "keep-alive"))),
        ("Upgrade", rng.choice(("websocket", "websocket", "WebSocket", "h2c, websocket", "x"))),
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Version", rng.choice(("13", "13", "13", "13", "8", "13, 8", "013"))),
    ]
    if rng.random() < 0.2:
        del headers[rng.randrange(len(headers))]
    if rng.random() < 0.2 and headers:
        headers.append(rng.choice(headers))
    return headers


def _protocols(rng: Random) -> str:
    names = [
        f"base64url.bearer.phx.{rng.choice(_TOKENS)}" if rng.random() < 0.6 else name
        for name in rng.choices(
            ("phoenix", "foo", "", "Phoenix"), (5, 1, 1, 1), k=rng.randint(1, 3)
        )
    ]
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
        '[null,"2","phoenix","heartbeat",{"a":1,"a":2}]',
        '[null,"2",5,"echo",{}]',
        '[null,"2","room:$ID",null,{}]',
        '{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"1"}',
        '{"topic":"phoenix","event":"heartbeat","payload":{}}',
        '{"topic":null,"event":"x","payload":{},"ref":"1"}',
        '{"topic":"room:$ID","event":"echo","payload":{"a":-0,"b":1e2},"ref":"1","join_ref":"1"}',
        '{"topic":"room:$ID","event":"echo","payload":{},"payload":1,"ref":"1","x":2}',
        '{"topic":"room:$ID","event":"echo","ref":"1"}',
    )
    text = rng.choice(spoilt)
    if rng.random() < 0.3:
        text = json.dumps(random_json(rng))
    return text
