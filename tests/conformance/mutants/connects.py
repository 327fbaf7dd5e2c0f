"""Mistakes in accepting clients, and in keeping them connected."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest

from phoenix_compat.protocol import origin
from phoenix_compat.protocol.handshake import take_auth_token, upgrade_error
from phoenix_compat.protocol.origin import Origin
from phoenix_compat.protocol.query import Params, decode_query
from phoenix_compat.protocol.serializer import Serializer, negotiate
from phoenix_compat.runtime.sending.outbox import Outbox
from phoenix_compat.runtime.sending.topic_fanout import TopicFanout
from phoenix_compat.transports import admission, handshake
from phoenix_compat.transports.aiohttp import websocket
from phoenix_compat.transports.aiohttp.connection import WebSocketConnection
from phoenix_compat.transports.aiohttp.mount import SocketResource
from phoenix_compat.transports.request import HttpRequest
from phoenix_compat.transports.response import HttpResponse, refusal
from tests.conformance.mutants import mutant


@mutant(1, fails=["connect/vsn/absent-is-v1"])
def clients_without_a_version_speak_v2(patch: pytest.MonkeyPatch) -> None:
    """Without vsn, 2.0.0 is assumed."""
    patch.setattr(admission, "DEFAULT_VSN", "2.0.0")


@mutant(
    2,
    3,
    fails=[
        "connect/vsn/refused/empty",
        "connect/vsn/refused/2.1.0",
        "connect/vsn/refused/2",
        "connect/vsn/refused/2.0",
        "connect/vsn/refused/v2.0.0",
        "connect/vsn/refused/space",
        "connect/vsn/refused/prerelease",
        "connect/vsn/refused/prerelease-zero",
        "connect/vsn/refused/unescaped-build",
    ],
)
def versions_are_read_leniently(patch: pytest.MonkeyPatch) -> None:
    """Anything that starts with 2 is V2; an empty vsn counts as absent."""

    def lenient(vsn: Any, serializers: Any) -> Serializer | None:
        if vsn == "":
            return negotiate("1.0.0", serializers)
        is_two = isinstance(vsn, str) and re.match(r"\s*v?2\b", vsn)
        return negotiate("2.0.0" if is_two else vsn, serializers)

    patch.setattr(admission, "negotiate", lenient)


@mutant(
    fails=["connect/vsn/unsupported", "connect/vsn/garbage", "connect/vsn/refused"],
)
def every_version_is_accepted(patch: pytest.MonkeyPatch) -> None:
    """An unknown vsn is treated as 2.0.0."""

    def ignoring(vsn: Any, serializers: Any) -> Serializer | None:
        return negotiate(vsn, serializers) or negotiate("2.0.0", serializers)

    patch.setattr(admission, "negotiate", ignoring)


@mutant(
    5,
    fails=[
        "connect/vsn/unsupported websocket",
        "connect/vsn/garbage websocket",
        "connect/upgrade/refused-plain-get",
        "connect/origin/default/other-host websocket",
        "connect/origin/default/null websocket",
        "connect/auth-token/other",
        "connect/auth-token/refused-keeps-protocol",
        "connect/origin/list websocket",
        "connect/refused websocket",
        "connect/vsn/refused websocket",
    ],
)
def refusals_are_401(patch: pytest.MonkeyPatch) -> None:
    """A client that is refused gets 401 and a JSON body."""

    def unauthorized(status: int, text: str = "", *, closes: bool = False) -> HttpResponse:
        if status == 403:
            headers = {"Content-Type": "application/json"}
            return HttpResponse(401, headers, b'{"error":"unauthorized"}')
        return refusal(status, text, closes=closes)

    patch.setattr(handshake, "refusal", unauthorized)


@mutant(
    6,
    fails=[
        "connect/upgrade/refused-plain-get",
        "connect/upgrade/post",
        "connect/auth-token/refused-keeps-protocol",
    ],
)
def the_upgrade_is_checked_before_connect(patch: pytest.MonkeyPatch) -> None:
    """A plain GET gets 400 even if connect would have refused it."""
    check = handshake.check_handshake

    async def checking_first(
        hub: handshake.Hub, request: HttpRequest, path_params: dict[str, str]
    ) -> handshake.Accepted | HttpResponse:
        problem = upgrade_error(request.headers, request.http_version)
        return refusal(400, problem) if problem else await check(hub, request, path_params)

    patch.setattr(websocket, "check_handshake", checking_first)


@mutant(8, fails=["connect/origin/default/own-host"])
def the_port_of_an_origin_counts(patch: pytest.MonkeyPatch) -> None:
    """With check_origin=True, an origin must not have another port."""
    is_allowed = origin.is_origin_allowed

    def strict(header: str | None, check: Any, **known: Any) -> bool:
        has_port = check is True and header is not None and re.search(r":\d+$", header) is not None
        return not has_port and is_allowed(header, check, **known)

    patch.setattr(admission, "is_origin_allowed", strict)


@mutant(
    9,
    fails=["connect/origin/list/scheme", "connect/origin/list/wildcard"],
)
def schemes_imply_no_port(patch: pytest.MonkeyPatch) -> None:
    """`http://x` in the list allows any port of x, and `*.x` does not include x itself."""

    def parse(text: str) -> Origin:
        found = parse_origin(text)
        return found if re.search(r":\d+$", text) else found._replace(port=None)

    parse_origin, is_within = origin.parse_origin, origin._is_host_within
    patch.setattr(origin, "parse_origin", parse)
    patch.setattr(
        origin,
        "_is_host_within",
        lambda host, allowed: is_within(host, allowed) and f"*.{host}" != allowed,
    )


@mutant(
    12,
    fails=[
        "connect/auth-token/with-phoenix",
        "connect/auth-token/any-order",
        "connect/auth-token/phoenix-alone",
        "connect/auth-token/empty",
        "connect/auth-token/twice",
        "connect/auth-token/padding",
        "connect/auth-token/refused-keeps-protocol",
    ],
)
def the_bearer_is_echoed(patch: pytest.MonkeyPatch) -> None:
    """The server selects the subprotocol that carries the token."""
    choose = handshake.choose_subprotocol

    def echoing(hub: handshake.Hub, header: str | None) -> tuple[bool, str | None]:
        is_fine, chosen = choose(hub, header)
        return is_fine, chosen and "base64url.bearer.phx.token"

    patch.setattr(handshake, "choose_subprotocol", echoing)


@mutant(
    13,
    fails=[
        "connect/auth-token/with-phoenix",
        "connect/auth-token/any-order",
        "connect/auth-token/alone",
        "connect/auth-token/twice",
        "connect/auth-token/not-base64",
        "connect/auth-token/wrong-padding",
    ],
)
def tokens_are_read_as_url_safe_base64(patch: pytest.MonkeyPatch) -> None:
    """Tokens are decoded with the URL-safe alphabet that their prefix suggests."""

    def url_safe(header: str | None) -> tuple[str | None, str | None]:
        for one in re.findall(r"bearer\.phx\.([^, ]+)", header or ""):
            if set("+/") & set(one):
                raise ValueError("not base64url")
            standard = base64.b64encode(base64.urlsafe_b64decode(f"{one.rstrip('=')}==")).decode()
            header = (header or "").replace(one, standard)
        return take_auth_token(header)

    patch.setattr(handshake, "take_auth_token", url_safe)


@mutant(17, waits=True, fails=["end/idle/pushes-do-not-count"])
def sent_frames_count_as_activity(patch: pytest.MonkeyPatch) -> None:
    """Frames from the server reset the idle timeout."""
    publish, send = TopicFanout.publish, Outbox.send

    def touch(outbox: Outbox) -> None:
        connection = outbox._sink
        if isinstance(connection, WebSocketConnection):
            connection.received_at_sweep = connection._hub.sweeps

    def publishing(
        self: TopicFanout, packet: bytes, exclude: Outbox | None, key: object = None
    ) -> None:
        publish(self, packet, exclude, key)
        for outbox in (*self._solo, *(self._multi or ())):
            touch(outbox)

    def sending(self: Outbox, packet: bytes) -> None:
        touch(self)
        send(self, packet)

    patch.setattr(TopicFanout, "publish", publishing)
    patch.setattr(Outbox, "send", sending)


@mutant(
    74,
    fails=[
        "connect/vsn/last-wins",
        "connect/query/nested",
        "connect/query/lists",
        "connect/query/contradicting",
    ],
)
def of_equal_params_the_first_counts(patch: pytest.MonkeyPatch) -> None:
    """The query is parsed as a flat multi-dict; the first value wins."""

    def flat(query: str) -> Params:
        params: Params = {}
        for part in query.split("&"):
            for name, value in decode_query(part.replace("[", "%5b")).items():
                params.setdefault(name, value)
        return params

    patch.setattr("phoenix_compat.transports.request.decode_query", flat)


@mutant(75, fails=["connect/path/empty-segments"])
def a_trailing_slash_is_another_path(patch: pytest.MonkeyPatch) -> None:
    """Empty path segments are significant."""
    match = SocketResource.match

    def strict(self: SocketResource, raw_path: str) -> dict[str, str] | None:
        is_odd = raw_path.endswith("/") or "//" in raw_path
        return None if is_odd else match(self, raw_path)

    patch.setattr(SocketResource, "match", strict)
