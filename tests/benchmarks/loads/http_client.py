"""A plain HTTP client for requests that are not measured."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from tests.benchmarks.servers import Running

TIMEOUT_S = 60.0


def fetch_json(
    server: Running,
    target: str,
    message: object = None,
    *,
    content_type: str = "application/json",
    credential: str | None = None,
) -> Any:
    """GET a target, or POST a message to it. Returns the JSON of the response."""
    headers = {"Content-Type": content_type}
    if credential is not None:
        headers["Authorization"] = f"Bearer {credential}"
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}{target}",
        data=None if message is None else json.dumps(message).encode(),
        headers=headers,
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - a server of ours
        return json.load(answer)
