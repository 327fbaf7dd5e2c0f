"""Mistakes in reading handshakes, paths, origins and queries that are odd."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import pytest
from multidict import CIMultiDict

from phoenix_compat.protocol import base64_text, handshake, origin
from phoenix_compat.protocol.query import BadQueryError, Params, decode_query
from phoenix_compat.protocol.serializer import Serializer, negotiate
from phoenix_compat.transports import admission, long_poll
from phoenix_compat.transports import handshake as websocket_handshake
from phoenix_compat.transports import request as requests
from phoenix_compat.transports.aiohttp import websocket
from phoenix_compat.transports.aiohttp.mount import SocketResource
from phoenix_compat.transports.aiohttp.request import request_value
from phoenix_compat.transports.long_poll import LongPollHub
from phoenix_compat.transports.response import HttpResponse, refusal
from tests.conformance.mutants import mutant


@mutant(fails=["connect/path/percent-encoded"])
def paths_are_decoded(patch: pytest.MonkeyPatch) -> None:
    """`/s%6fcket/websocket` is the same path as `/socket/websocket`."""
    match = SocketResource.match
    patch.setattr(SocketResource, "match", lambda self, path: match(self, unquote(path)))


@mutant(
    fails=[
        "connect/upgrade/version-twice",
        "connect/upgrade/key-twice",
        "connect/upgrade/headers-in-several-lines",
    ]
)
def of_repeated_headers_the_first_counts(patch: pytest.MonkeyPatch) -> None:
    """Headers are a plain dictionary: further ones of the same name are not seen."""

    def first_only(request: Any) -> Any:
        value = request_value(request)
        first = CIMultiDict[str]()
        for name, text in value.headers.items():
            first.setdefault(name, text)
        value.headers = first
        return value

    patch.setattr(websocket, "request_value", first_only)


@mutant(fails=["connect/vsn/refused/prerelease-zero"])
def versions_may_have_leading_zeros(patch: pytest.MonkeyPatch) -> None:
    """A number of a prerelease is any number."""

    def lenient(vsn: Any, serializers: Any) -> Serializer | None:
        if isinstance(vsn, str):
            vsn = re.sub(r"-0+(?=\d)", "-", vsn)
        return negotiate(vsn, serializers)

    patch.setattr(admission, "negotiate", lenient)


@mutant(fails=["connect/auth-token/wrong-padding", "longpoll/batch/wrong-padding"])
def padding_is_ignored(patch: pytest.MonkeyPatch) -> None:
    """Base64 may have any number of `=` at its end."""
    decode = base64_text.decode_base64

    def lenient(data: bytes, **_options: Any) -> bytes:
        return decode(data.rstrip(b"="), is_padding_optional=True)

    patch.setattr(handshake, "decode_base64", lenient)
    patch.setattr(long_poll, "decode_base64", lenient)


@mutant(fails=["connect/auth-token/refused-keeps-protocol"])
def a_refusal_names_no_subprotocol(patch: pytest.MonkeyPatch) -> None:
    """The subprotocol is only in the 101."""
    check = websocket_handshake.check_handshake

    async def bare(*arguments: Any, **options: Any) -> Any:
        outcome = await check(*arguments, **options)
        if isinstance(outcome, HttpResponse):
            outcome.headers.pop("Sec-WebSocket-Protocol", None)
        return outcome

    patch.setattr(websocket, "check_handshake", bare)


@mutant(fails=["connect/origin/default/port-not-a-number"])
def the_port_of_an_origin_is_a_number(patch: pytest.MonkeyPatch) -> None:
    """An origin with another port is refused."""
    is_allowed = origin.is_origin_allowed

    def strict(header: str | None, check: Any, **known: Any) -> bool:
        is_odd = header is not None and re.search(r"//.*:[^\d/\]]+$", header) is not None
        return not is_odd and is_allowed(header, check, **known)

    patch.setattr(admission, "is_origin_allowed", strict)


@mutant(fails=["connect/query/not-utf8", "longpoll/query/not-utf8"])
def queries_may_have_any_bytes(patch: pytest.MonkeyPatch) -> None:
    """What is not UTF-8 in a query is left out."""

    def lenient(query: str) -> Params:
        try:
            return decode_query(query)
        except BadQueryError:
            return decode_query(query.replace("%ff", ""))

    patch.setattr(requests, "decode_query", lenient)


@mutant(fails=["longpoll/origin/other-methods"])
def methods_are_checked_before_origins(patch: pytest.MonkeyPatch) -> None:
    """Other methods than GET, POST and OPTIONS get 400 from every page."""
    handle = LongPollHub.handle

    async def checking(self: LongPollHub, request: Any, *arguments: Any) -> HttpResponse:
        if request.method not in {"GET", "POST", "OPTIONS"}:
            return long_poll.with_cors(refusal(400))
        return await handle(self, request, *arguments)

    patch.setattr(LongPollHub, "handle", checking)


@mutant(fails=["longpoll/headers/preflight-cache"])
def preflights_have_no_cache_control(patch: pytest.MonkeyPatch) -> None:
    """A preflight may be kept by caches."""
    answer = long_poll._preflight

    def bare(request: Any) -> HttpResponse:
        response = answer(request)
        response.headers.pop("Cache-Control")
        return response

    patch.setattr(long_poll, "_preflight", bare)
