"""What shrinking leaves of a conversation."""

from __future__ import annotations

import json

from phoenix_compat.conformance.fuzz.script import Client, Request, Script, Send, SendFrame
from phoenix_compat.conformance.fuzz.shrink import shrink


def message(event: str, payload: object) -> str:
    """A V2 message."""
    return json.dumps(["1", "1", "room:a", event, payload], separators=(",", ":"))


def sent(script: Script) -> list[str]:
    """All text messages of a conversation."""
    return [text for step in script.steps if isinstance(step, Send) for text in step.texts]


async def test_only_what_the_difference_needs_is_left() -> None:
    """Clients, steps, messages of a burst, values, headers and parts of a query are removed."""
    target = "/extra/websocket?vsn=2.0.0&user=u"
    clients = (Client("a", target, (("X", "1"),)), Client("b", target))
    burst = Send("a", (message("echo", [1]), message("push", {"a": 1, "b": 2}), message("x", {})))
    script = Script(clients, (Send("b", (message("echo", {}),)), burst, SendFrame("a", 9, "")))

    async def differs(smaller: Script) -> bool:
        payloads = [json.loads(text)[4] for text in sent(smaller) if '"push"' in text]
        return any("b" in payload for payload in payloads)

    smallest = await shrink(script, differs)

    assert smallest == Script(
        (Client("a", "/extra/websocket?vsn=2.0.0"),),
        (Send("a", (message("push", {"b": 2}),)),),
    )
    assert (script.frames, smallest.frames) == (5, 1)


async def test_what_is_needed_stays() -> None:
    """A conversation of which nothing can be removed is returned, after each thing was tried."""
    script = Script(steps=(Request("GET", "/socket/longpoll?a=1", (("Origin", "x"),), "body"),))
    tried: list[Script] = []

    async def differs(smaller: Script) -> bool:
        tried.append(smaller)
        return False

    assert await shrink(script, differs) == script
    assert len(tried) == len(set(tried)) == 4


async def test_shrinking_is_bounded() -> None:
    """After so many plays, the smallest conversation so far is the result."""
    script = Script((Client("a", "/s"),), tuple(SendFrame("a", 9, str(n)) for n in range(50)))
    plays = 0

    async def differs(smaller: Script) -> bool:
        nonlocal plays
        plays += 1
        return bool(smaller.clients)

    smallest = await shrink(script, differs, max_plays=10)

    assert plays == 10
    assert smallest.frames == 41


async def test_a_message_of_another_form_is_not_changed() -> None:
    """Only payloads of messages are made smaller; other texts stay as they are."""
    texts = ("[1]", "{", '{"payload":{"a":1,"b":[1]},"event":"x"}')
    script = Script((Client("a", "/s"),), (Send("a", texts),))

    async def differs(smaller: Script) -> bool:
        return len(sent(smaller)) == 3

    assert sent(await shrink(script, differs)) == ["[1]", "{", '{"payload":{},"event":"x"}']
