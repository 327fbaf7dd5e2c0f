"""`broadcast`: publishes an event to the clients of a topic."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, Final

import click

from phoenix_compat.cli.remote.options import ServerOptions, server_options

_PATH: Final = "/api/broadcast"
_STDIN: Final = "-"
_MAX_PAYLOAD_CHARS: Final = 256 * 1024


def _payload(_ctx: click.Context, _param: click.Parameter, text: str) -> dict[str, Any]:
    """The payload as a JSON object."""
    if text == _STDIN:
        text = sys.stdin.read(_MAX_PAYLOAD_CHARS + 1)
    try:
        payload = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter('must be JSON, such as {"body": "hello"}') from error
    if not isinstance(payload, dict):
        raise click.BadParameter('must be a JSON object, such as {"body": "hello"}')
    return payload


@click.command()
@click.argument("topic")
@click.argument("event")
@click.argument("payload", default="{}", callback=_payload)
@server_options
def broadcast(server: ServerOptions, topic: str, event: str, payload: dict[str, Any]) -> None:
    """Publish EVENT with PAYLOAD, a JSON object, to the clients of TOPIC.

    With - the payload is read from standard input. The setting publish_topics lists the topics that
    are allowed, and a key needs the scope publish. The server does not say how many clients there
    are.
    """
    asyncio.run(_publish(server, {"topic": topic, "event": event, "payload": payload}))
    click.echo(f"Published {event} on {topic}.")


async def _publish(server: ServerOptions, message: dict[str, object]) -> None:
    async with await server.api() as api:
        await api.post(_PATH, message)
