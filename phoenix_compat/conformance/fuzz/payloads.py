"""Random payloads for each event of the reference channel set, and posts to its `/broadcast`.

Most are as the event wants them, so that a conversation goes on; the others are what a client could
also send: no object, a missing key, a value of another type.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any, Final

from phoenix_compat.conformance.fuzz.mutate import JSON_PIECES, QUERY_PIECES, mutated
from phoenix_compat.conformance.fuzz.queries import random_json, random_object, sendable
from phoenix_compat.conformance.fuzz.script import Request

_BYTES: Final[tuple[list[int], ...]] = ([], [0, 255, 10], [65] * 130, [0xC3, 0x28])
_ODD_BYTES: Final[tuple[Any, ...]] = (
    None,
    5,
    "abc",
    {},
    {"0": 1},
    [256],
    [-1],
    [1.0],
    ["a"],
    [[1]],
    [True],
    [None],
    [10**20],
    [1, "é"],
)
_META_NAMES: Final = ("online_at", "phx_ref", "phx_ref_prev", "metas", "a", "")
_USERS: Final[tuple[Any, ...]] = (
    "$ID",
    "$ID",
    "$ID",
    "",
    "é",
    0,
    5,
    -1,
    10**30,
    None,
    True,
    1.5,
    [],
    ["$ID"],
    {},
)

_TOPICS: Final = (
    *("room:$ID",) * 5,
    "room:$ID:2",
    "room%3A$ID",
    "presence:$ID",
    "user:$ID",
    "user:$ID",
    "task:$ID",
    "phoenix",
    "%ff",
)
_EVENTS: Final = (
    *("msg",) * 6,
    "disconnect",
    "disconnect",
    "phx_close",
    "phx_reply",
    "phx_error",
    "phx_join",
    "presence_diff",
    "m%20g",
    "a%2Fb",
    "a+b",
    "%C3%A9",
    "%ff",
    "%zz",
)
_TIMES: Final = ("0", "2", "02", "-1", "abc", "", "1.0", "+2", "%2B2", "1_0", "%D9%A1", "1e0", "2 ")
_BODIES: Final = (
    "",
    "x",
    "{}x",
    " {} ",
    "\ufeff{}",
    '{"a":NaN}',
    '{"a":1e400}',
    '{"a":1,"a":2}',
    '{"a":"\\ud800"}',
    f'{{"a":{"1" * 1024}}}',
    f'{{"a":{"1" * 1025}}}',
)


def payload_for(rng: Random, event: str) -> Any:
    """A payload of that event, which may be an odd one."""
    match event:
        case "reply_binary" | "push_binary":
            payload = valid_bytes(rng) if rng.random() < 0.6 else {"bytes": rng.choice(_ODD_BYTES)}
        case "update":
            payload = {
                rng.choice(_META_NAMES): random_json(rng) for _name in range(rng.randint(0, 3))
            }
        case _:
            payload = random_object(rng)
    return random_json(rng) if rng.random() < 0.15 else payload


def valid_bytes(rng: Random) -> dict[str, Any]:
    """A payload from which `reply_binary` and `push_binary` make bytes."""
    return {} if rng.random() < 0.2 else {"bytes": rng.choice(_BYTES)}


def user_payload(rng: Random) -> Any:
    """The payload of a join of `presence:*`."""
    if rng.random() < 0.6:
        return {"user": "$ID"}
    return {"user": rng.choice(_USERS)} if rng.random() < 0.8 else random_json(rng)


def random_broadcast(rng: Random) -> Request:
    """A post to `/broadcast`; in most a part is odd."""
    target = f"/broadcast/{rng.choice(_TOPICS)}/{rng.choice(_EVENTS)}"
    body = json.dumps(random_object(rng), ensure_ascii=False)
    method = "POST"
    match rng.randrange(10):
        case 0:
            target = mutated(rng, target, QUERY_PIECES).replace("?", "")
        case 1 | 2:
            target += f"?n={rng.choice(_TIMES)}"
        case 3:
            target += rng.choice(("?n[]=1", "?n=1&n=2", "?x=1", "?n", "?n=%ff", "?&n=2"))
        case 4:
            body = rng.choice(_BODIES)
        case 5:
            body = json.dumps(random_json(rng))
        case 6:
            body = mutated(rng, body, JSON_PIECES)
        case 7:
            method = rng.choice(("GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"))
        case _:
            pass
    if method in {"GET", "HEAD"}:
        body = ""
    headers = (("Content-Type", "application/json"),) if method == "POST" else ()
    return Request(method, sendable(target), headers, body)
