"""Removes from a conversation whatever the difference does not need."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Final

from phoenix_compat.conformance.fuzz.script import Request, Script, Send, Step

_MAX_PLAYS: Final = 200
"""Shrinking ends after so many plays, with the smallest conversation so far."""


async def shrink(script: Script, differs: Callable[[Script], Awaitable[bool]]) -> Script:
    """The smallest conversation that still differs."""
    plays = 0
    smaller = True
    while smaller:
        smaller = False
        for candidate in _smaller(script):
            plays += 1
            if plays > _MAX_PLAYS:
                return script
            if await differs(candidate):
                script = candidate
                smaller = True
                break
    return script


def _smaller(script: Script) -> Iterator[Script]:
    """The script with one thing less, the largest things first."""
    for client in script.clients:
        yield replace(
            script,
            clients=tuple(one for one in script.clients if one != client),
            steps=tuple(step for step in script.steps if _client_of(step) != client.name),
        )
    for number in reversed(range(len(script.steps))):
        yield replace(script, steps=script.steps[:number] + script.steps[number + 1 :])
    for number, step in enumerate(script.steps):
        for less in _smaller_steps(step):
            yield replace(script, steps=(*script.steps[:number], less, *script.steps[number + 1 :]))
    for number, client in enumerate(script.clients):
        for target in _smaller_targets(client.target):
            changed = replace(client, target=target)
            yield replace(
                script, clients=(*script.clients[:number], changed, *script.clients[number + 1 :])
            )


def _client_of(step: Step) -> str | None:
    return None if isinstance(step, Request) else step.client


def _smaller_steps(step: Step) -> Iterator[Step]:
    if isinstance(step, Send) and len(step.texts) > 1:
        for number in range(len(step.texts)):
            yield replace(step, texts=step.texts[:number] + step.texts[number + 1 :])
    elif isinstance(step, Request):
        for number in range(len(step.headers)):
            yield replace(step, headers=step.headers[:number] + step.headers[number + 1 :])
        for target in _smaller_targets(step.target):
            yield replace(step, target=target)
        if step.body:
            yield replace(step, body="")


def _smaller_targets(target: str) -> Iterator[str]:
    path, mark, query = target.partition("?")
    parts = query.split("&") if mark else []
    for number, part in enumerate(parts):
        if not part.startswith("vsn="):
            yield f"{path}?{'&'.join(parts[:number] + parts[number + 1 :])}"
