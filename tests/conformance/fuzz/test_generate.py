"""Random conversations reach the whole reference channel set."""

from __future__ import annotations

import inspect
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from phoenix_compat.conformance import reference
from phoenix_compat.conformance.fuzz.generate import random_script
from phoenix_compat.conformance.fuzz.script import Request, Script, Send, SendBinary

EVENTS = sorted(set(re.findall(r'@on\("(\w+)"\)', inspect.getsource(reference))))


@cache
def scripts() -> tuple[Script, ...]:
    """As many as are played in a minute or two."""
    return tuple(random_script(1, number) for number in range(2_000))


@cache
def payloads() -> dict[str, set[str]]:
    """The types of the payloads with which each event occurs."""
    seen: dict[str, set[str]] = defaultdict(set)
    for script in scripts():
        for step in script.steps:
            for event, payload in events_of(step):
                seen[event].add(type(payload).__name__)
    return seen


def events_of(step: object) -> Iterator[tuple[str, Any]]:
    """The events that a step sends, with their payloads."""
    if isinstance(step, SendBinary) and step.bytes[:1] == b"\0" and len(step.bytes) > 5:
        begin = 5 + sum(step.bytes[1:4])
        yield step.bytes[begin:][: step.bytes[4]].decode(errors="replace"), step.bytes
    for text in step.texts if isinstance(step, Send) else ():
        try:
            message = json.loads(text)
        except ValueError:
            continue
        match message:
            case [_, _, _, str(event), payload]:
                yield event, payload
            case {"event": str(event), "payload": payload}:
                yield event, payload
            case _:
                pass


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_occurs_with_odd_payloads(event: str) -> None:
    """Each event comes with an object, with bytes, and with JSON that is no object."""
    types = payloads()[event]

    assert {"dict", "bytes"} <= types
    assert types & {"NoneType", "bool", "int", "float", "str", "list"}


@pytest.mark.parametrize(
    "part",
    [
        *("/socket/websocket?", "/socket/longpoll?", "/slow/websocket?"),
        *("/extra/websocket?", "/extra/longpoll?", "vsn=1.0.0"),
        *("user=$ID", "user[]=", "user[a]=", "token=deny", "token=reject", "token[]="),
    ],
)
def test_every_mount_and_param_occurs(part: str) -> None:
    """Clients connect to every socket, and with every param that connect reads."""
    assert any(part in client.target for script in scripts() for client in script.clients)


def test_some_clients_have_an_auth_token() -> None:
    """It is in the header of its transport."""
    clients = [client for script in scripts() for client in script.clients]
    headers = {name for client in clients for name, _value in client.headers}

    assert headers == {"X-Phoenix-AuthToken", "Sec-WebSocket-Protocol"}


@pytest.mark.parametrize(
    "part", ["n=-1", "n=abc", "n[]=1", "%ff", "/disconnect", "/presence:", "/user:", "//", "/msg"]
)
def test_odd_broadcasts_occur(part: str) -> None:
    """Posts to /broadcast have odd topics, events and numbers, some while clients listen."""
    posts = [
        (script, step.target)
        for script in scripts()
        for step in script.steps
        if isinstance(step, Request) and "broadcast" in step.target
    ]

    assert any(part in target for _script, target in posts)
    assert any(script.clients for script, _target in posts)
