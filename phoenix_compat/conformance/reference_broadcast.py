"""`POST /broadcast/TOPIC/EVENT?n=N` of the reference channel set, without a web framework.

The file for Phoenix in docs/conformance.md has the same rules, and the differential fuzzer compares
the two.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec

from phoenix_compat.endpoint import Endpoint
from phoenix_compat.errors import RemoteProtocolError
from phoenix_compat.protocol import jason
from phoenix_compat.protocol.query import BadQueryError, decode_query
from phoenix_compat.transports.response import NO_STORE, HttpResponse, refusal

MAX_BODY_BYTES: Final = 1_048_576

_TIMES: Final = re.compile(r"[0-9]{1,5}")
_ANY: Final = msgspec.json.Decoder()


def is_broadcast(method: str, path: Sequence[str]) -> bool:
    """Whether a request is one.

    Args:
        path: the segments of the path that are not empty, as sent.
    """
    return method == "POST" and len(path) == 3 and path[0] == "broadcast"


def broadcast(endpoint: Endpoint, path: Sequence[str], query: str, body: bytes) -> HttpResponse:
    """Broadcast the JSON object in the body, `n` times.

    Args:
        path: as for `is_broadcast`.
        query: as sent.

    Returns:
        204, or 400 with a sentence if a part of the request is wrong; then nothing is broadcast.
    """
    try:
        topic, event = (unquote_to_bytes(segment).decode() for segment in path[1:])
        times = _read_times(decode_query(query).get("n"))
        payload = _read_object(body)
    except UnicodeDecodeError:
        return refusal(400, "the topic and the event must be UTF-8, percent-encoded")
    except (BadQueryError, ValueError, RemoteProtocolError) as error:
        return refusal(400, str(error))
    for _time in range(times):
        endpoint.broadcast(topic, event, payload)
    return HttpResponse(204, dict(NO_STORE))


def _read_times(given: Any) -> int:
    if given is None:
        return 1
    if not isinstance(given, str) or not _TIMES.fullmatch(given):
        raise ValueError("n must be a number of at most 5 digits, for example n=3")
    return int(given)


def _read_object(body: bytes) -> dict[str, Any]:
    if isinstance(jason.decode(_ANY, body), dict):
        payload: dict[str, Any] = jason.decode_first_key_wins(body)
        return payload
    raise ValueError('the body must be a JSON object, for example {"a": 1}')
