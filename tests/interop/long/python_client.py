"""Runs a Python client until killed; prints one JSON line per event, `[event, data]`.

    python python_client.py phxsocket|realtime BASE_URL TOPIC

It needs the packages of requirements.txt and nothing of this project.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from typing import Any


def emit(event: str, data: Any = None) -> None:
    """Print an event."""
    sys.stdout.write(json.dumps([event, data]) + "\n")
    sys.stdout.flush()


def run_phxsocket(url: str, topic: str) -> None:
    """Join and print `progress`; the client does not reconnect, so this does, after 0.1 s."""
    from phxsocket import Client  # noqa: PLC0415 - only one of the clients is needed

    while True:
        ended = threading.Event()
        client = Client(f"{url}/socket/websocket")
        client.on_close = lambda _client, ended=ended: ended.set()
        channel = client.channel(topic)
        channel.on("progress", lambda payload: emit(payload["status"], payload))
        try:
            client.connect()
        except Exception:  # noqa: BLE001 - whatever the library raises, an app tries again
            time.sleep(0.1)
            continue
        emit("joined", channel.join())
        ended.wait()
        emit("close")


async def run_realtime(url: str, topic: str) -> None:
    """Subscribe, broadcast to itself, and print what comes; it reconnects by itself."""
    from realtime import AsyncRealtimeClient  # noqa: PLC0415 - only one of the clients is needed

    client = AsyncRealtimeClient(f"{url}/socket", "key", hb_interval=1, initial_backoff=0.1)
    channel = client.channel(topic, {"config": {"broadcast": {"self": True}}})
    channel.on_broadcast("news", lambda payload: emit("news", payload["payload"]))
    is_subscribed = asyncio.Event()

    def state_changed(state: Any, _error: Exception | None) -> None:
        emit("state", state.value)
        if state.value == "SUBSCRIBED":
            is_subscribed.set()

    await channel.subscribe(state_changed)
    while True:
        await is_subscribed.wait()
        is_subscribed.clear()
        await channel.send_broadcast("news", {"n": 1})


if __name__ == "__main__":
    name, base_url, subject = sys.argv[1:]
    websocket_url = base_url.replace("http", "ws", 1)
    if name == "phxsocket":
        run_phxsocket(websocket_url, subject)
    else:
        asyncio.run(run_realtime(websocket_url, subject))
