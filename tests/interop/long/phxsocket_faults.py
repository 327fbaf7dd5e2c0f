"""Runs phxsocket against the fault server: one client for each scenario, all at once, until killed.

    python phxsocket_faults.py BASE_URL CLIENT

It needs the packages of requirements.txt and nothing of this project. phxsocket does not connect
again when a connection is lost, and this app does not do it in its place.
"""

from __future__ import annotations

import json
import sys
import threading
import urllib.request
from typing import Any

from phxsocket import Client
from phxsocket.channel import ChannelConnectError


def play(url: str, topic: str) -> None:
    """Do what `GET /control/scenarios` asks of an app."""
    client = Client(f"{url}/websocket")
    channel = client.channel(topic)

    def on_ask(payload: Any) -> None:
        channel.push("heard", payload)

    channel.on("ask", on_ask)
    client.connect()
    try:
        channel.join()
    except ChannelConnectError:
        return
    echo = channel.push("echo", {"some": "payload"}, reply=True)
    channel.push("heard", {"reply": echo.wait_for_response()["response"]})


def main(base_url: str, name: str) -> None:
    """Play every scenario in a thread of its own."""
    listing = f"{base_url}/control/scenarios?client={name}"
    with urllib.request.urlopen(listing) as answer:  # noqa: S310 - the caller's own server
        scenarios = json.load(answer)["scenarios"]
    for scenario in scenarios:
        arguments = (scenario["url"], scenario["topic"])
        threading.Thread(target=play, args=arguments, daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
