"""Removes from a conversation whatever the difference does not need.

What is left cannot lose one of these and still differ: a client, a step, a message of a step, a
value of a payload, a header, a part of a query.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from phoenix_compat.conformance.fuzz.script import Client, Request, Script, Send, Step

_MAX_PLAYS: Final = 200
"""Shrinking ends after so many plays, with the smallest conversation so far."""


async def shrink(
    script: Script, differs: Callable[[Script], Awaitable[bool]], max_plays: int = _MAX_PLAYS
) -> Script:
    """The smallest conversation that still differs, of those that removing one thing leads to.

    Args:
        max_plays: how many conversations are tried.
    """
    tried = {script}
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for reductions in _REDUCTIONS:
            number = 0
            while (
                candidate := next(itertools.islice(reductions(script), number, None), None)
            ) and (len(tried) <= max_plays):
                is_new = candidate not in tried
                tried.add(candidate)
                if is_new and await differs(candidate):
                    # What comes next has this number now.
                    script = candidate
                    is_smaller = True
                else:
                    number += 1
    return script


def _without_clients(script: Script) -> Iterator[Script]:
    for client in script.clients:
        yield replace(
            script,
            clients=tuple(one for one in script.clients if one != client),
            steps=tuple(step for step in script.steps if _client_of(step) != client.name),
        )


def _without_steps(script: Script) -> Iterator[Script]:
    for number in reversed(range(len(script.steps))):
        yield replace(script, steps=script.steps[:number] + script.steps[number + 1 :])


def _without_messages(script: Script) -> Iterator[Script]:
    for number, step in enumerate(script.steps):
        if isinstance(step, Send) and len(step.texts) > 1:
            for text in range(len(step.texts)):
                yield _with_step(
                    script, number, replace(step, texts=step.texts[:text] + step.texts[text + 1 :])
                )


def _smaller_payloads(script: Script) -> Iterator[Script]:
    for number, step in enumerate(script.steps):
        if isinstance(step, Send):
            for index, text in enumerate(step.texts):
                for less in _smaller_texts(text):
                    texts = (*step.texts[:index], less, *step.texts[index + 1 :])
                    yield _with_step(script, number, replace(step, texts=texts))


def _smaller_requests(script: Script) -> Iterator[Script]:
    for number, step in enumerate(script.steps):
        if isinstance(step, Request):
            for less in _less_of_request(step):
                yield _with_step(script, number, less)


def _smaller_clients(script: Script) -> Iterator[Script]:
    for number, client in enumerate(script.clients):
        for less in _less_of_client(client):
            yield replace(
                script, clients=(*script.clients[:number], less, *script.clients[number + 1 :])
            )


_REDUCTIONS: Final = (
    _without_clients,
    _without_steps,
    _without_messages,
    _smaller_requests,
    _smaller_clients,
    _smaller_payloads,
)
"""Each yields the script with one thing less; the largest things come first."""


def _with_step(script: Script, number: int, step: Step) -> Script:
    return replace(script, steps=(*script.steps[:number], step, *script.steps[number + 1 :]))


def _client_of(step: Step) -> str | None:
    return None if isinstance(step, Request) else step.client


def _smaller_texts(text: str) -> Iterator[str]:
    """The message with less in its payload; nothing of one that has another form."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return
    key: Any
    if isinstance(message, list) and len(message) == 5:
        key = 4
    elif isinstance(message, dict) and "payload" in message:
        key = "payload"
    else:
        return
    for payload in _smaller_values(message[key]):
        message[key] = payload
        yield json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def _smaller_values(value: Any) -> Iterator[Any]:
    if value in ({}, []):
        return
    yield {}
    if isinstance(value, dict) and len(value) > 1:
        for name in value:
            yield {other: item for other, item in value.items() if other != name}
    elif isinstance(value, list) and len(value) > 1:
        for number in range(len(value)):
            yield value[:number] + value[number + 1 :]


def _less_of_request(step: Request) -> Iterator[Request]:
    for number in range(len(step.headers)):
        yield replace(step, headers=step.headers[:number] + step.headers[number + 1 :])
    for target in _smaller_targets(step.target):
        yield replace(step, target=target)
    if step.body:
        yield replace(step, body="")


def _less_of_client(client: Client) -> Iterator[Client]:
    for number in range(len(client.headers)):
        yield replace(client, headers=client.headers[:number] + client.headers[number + 1 :])
    for target in _smaller_targets(client.target):
        yield replace(client, target=target)


def _smaller_targets(target: str) -> Iterator[str]:
    path, mark, query = target.partition("?")
    parts = query.split("&") if mark else []
    for number, part in enumerate(parts):
        if not part.startswith("vsn="):
            yield f"{path}?{'&'.join(parts[:number] + parts[number + 1 :])}"
