"""`POST /broadcast` of the reference channel set: the requests that it accepts."""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat import Endpoint
from phoenix_compat.conformance import reference_broadcast
from phoenix_compat.protocol.message import Broadcast
from phoenix_compat.result import Done

A_PATH = ["broadcast", "room:a", "msg"]


class Listening(Endpoint):
    """Keeps what is broadcast."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Broadcast] = []

    def broadcast(self, topic: str, event: str, payload: Any, *, newest_only: bool = False) -> Done:
        """Keep it, and broadcast it."""
        self.sent.append(Broadcast(topic, event, payload))
        return super().broadcast(topic, event, payload, newest_only=newest_only)


@pytest.mark.parametrize(
    ("query", "times"), [("", 1), ("n=0", 0), ("n=3", 3), ("n=02", 2), ("n=1&n=2", 2), ("x=5", 1)]
)
def test_n_says_how_often(query: str, times: int) -> None:
    """The object is broadcast n times, by default once; of two n, the last counts."""
    endpoint = Listening()

    response = reference_broadcast.broadcast(endpoint, A_PATH, query, b' {"a":1,"a":2} ')

    assert response.status == 204
    assert endpoint.sent == [Broadcast("room:a", "msg", {"a": 1})] * times


@pytest.mark.parametrize(
    ("path", "topic", "event"),
    [
        (["broadcast", "room%3Aa", "m%20g"], "room:a", "m g"),
        (["broadcast", "room:a%2Fb", "%C3%A9"], "room:a/b", "é"),
        (["broadcast", "a+b", "%zz"], "a+b", "%zz"),
    ],
)
def test_topic_and_event_are_decoded(path: list[str], topic: str, event: str) -> None:
    """Percent-encoding is decoded as URI.decode does: `+` and what is not hexadecimal stay."""
    endpoint = Listening()

    reference_broadcast.broadcast(endpoint, path, "", b"{}")

    assert endpoint.sent == [Broadcast(topic, event, {})]


@pytest.mark.parametrize(
    ("path", "query", "body", "said"),
    [
        (A_PATH, "n=-1", b"{}", "n must be a number"),
        (A_PATH, "n=abc", b"{}", "n must be a number"),
        (A_PATH, "n=", b"{}", "n must be a number"),
        (A_PATH, "n=%2B2", b"{}", "n must be a number"),
        (A_PATH, "n=1_0", b"{}", "n must be a number"),
        (A_PATH, "n=%D9%A1", b"{}", "n must be a number"),
        (A_PATH, "n[]=1", b"{}", "n must be a number"),
        (A_PATH, "n=100000", b"{}", "n must be a number"),
        (A_PATH, "n=%ff", b"{}", "UTF-8"),
        (A_PATH, "", b"", "not JSON"),
        (A_PATH, "", b"{}x", "not JSON"),
        (A_PATH, "", b'{"a":NaN}', "not JSON"),
        (A_PATH, "", b"\xef\xbb\xbf{}", "not JSON"),
        (A_PATH, "", b'{"a":%s}' % (b"1" * 1025), "1025 characters"),
        (A_PATH, "", b"[]", "a JSON object"),
        (A_PATH, "", b"null", "a JSON object"),
        (["broadcast", "%ff", "msg"], "", b"{}", "UTF-8"),
        (["broadcast", "room:a", "%ff"], "", b"{}", "UTF-8"),
    ],
)
def test_a_wrong_part_is_refused(path: list[str], query: str, body: bytes, said: str) -> None:
    """The answer is 400 with a sentence, and nothing is broadcast."""
    endpoint = Listening()

    response = reference_broadcast.broadcast(endpoint, path, query, body)

    assert response.status == 400
    assert said in response.body.decode()
    assert endpoint.sent == []
