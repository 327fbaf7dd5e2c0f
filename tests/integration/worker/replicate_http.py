"""Replicate's HTTP API, faked below the SDK with aioresponses.

aioresponses 0.7.9 builds responses for aiohttp before 3.14; `_Response` adds the argument that is
new in 3.14.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import Mock

import aiohttp
from aioresponses import aioresponses, core

BASE_URL = "https://api.replicate.com/v1"
CREATE_URL = f"{BASE_URL}/predictions"
TOKEN = "r8_made_up"

if "stream_writer" in inspect.signature(aiohttp.ClientResponse.__init__).parameters:

    class _Response(aiohttp.ClientResponse):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.setdefault("stream_writer", Mock(output_size=0))
            super().__init__(*args, **kwargs)

    core.ClientResponse = _Response  # type: ignore[attr-defined]  # aioresponses uses this name


class ReplicateHttp:
    """The fake, and the requests that it received."""

    def __init__(self, mock: aioresponses) -> None:
        self.mock = mock

    def requests(self, method: str) -> list[dict[str, Any]]:
        """The requests with a method, in order, each with `url`, lower-case `headers` and `body`.

        The body is parsed; None if there was none.
        """
        received = []
        for (received_method, url), calls in self.mock.requests.items():
            for call in calls if received_method == method else ():
                data = call.kwargs["data"]
                headers = {key.lower(): value for key, value in call.kwargs["headers"].items()}
                body = json.loads(data) if data else None
                received.append({"url": str(url), "headers": headers, "body": body})
        return received


@contextmanager
def replicate_http() -> Iterator[ReplicateHttp]:
    """Answer the requests of all aiohttp clients, except those to 127.0.0.1."""
    with aioresponses(passthrough=["http://127.0.0.1"]) as mock:
        yield ReplicateHttp(mock)
