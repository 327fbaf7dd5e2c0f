"""Long-polling as HTTP: methods, paths, origins, CORS, and refusals.

Numbers are those of docs/protocol.md.
"""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat import CONN, Endpoint, LongPollOptions, Result, Socket, SocketHandler, error, ok
from phoenix_compat.conformance.suite.cases import compact_json
from tests.conftest import Dial, Serve
from tests.integration.echo_app import OpenChannel
from tests.polling import BEAT, LP_V1, LP_V2, Poller, PollResponse, longpoll_app, rooms_app
from tests.serving import EventLog, accepting
from tests.wire import OK

FORBIDDEN = b'{"status":403}'


class RecordingSocket(SocketHandler):
    """Records the params of each `connect`; `answer` says how some are refused."""

    event_log: EventLog

    def connect(self, params: Any, socket: Socket, connect_info: Any) -> Any:
        self.event_log.record((params, connect_info))
        if params.get("answer") == "raise":
            raise RuntimeError("asked to crash in connect")
        answers = {
            "error": error(),
            "reason": error({"reason": "rate_limit"}),
            "nonsense": {"no": "result"},
        }
        return answers.get(params.get("answer"), ok())

    def id(self, socket: Socket) -> Any:
        return None


def noting(**channels: Any) -> tuple[type[SocketHandler], EventLog]:
    """A RecordingSocket of its own, and its event log."""
    event_log = EventLog()
    attributes = {"event_log": event_log, "channels": {"room:*": OpenChannel, **channels}}
    return type("NotingSocket", (RecordingSocket,), attributes), event_log


def is_forbidden(answer: PollResponse) -> bool:
    """Whether a response has only the status 403 in its body."""
    return (answer.status, answer.body) == (200, FORBIDDEN)


# Methods and CORS.


@pytest.mark.parametrize("method", ["HEAD", "PUT", "PATCH", "DELETE", "PROPFIND"])
async def test_other_methods_are_refused(serve: Serve, method: str) -> None:
    """§5.1: a real HTTP 400 with an empty body, and `connect` is not called."""
    handler, event_log = noting()
    client = Poller(await serve(longpoll_app(handler)))

    answer = await client.request(method)

    assert (answer.status, answer.body) == (400, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert event_log.is_empty


async def test_a_preflight(serve: Serve) -> None:
    """B10: 200 and empty; requested headers are echoed, the methods are in lower case."""
    handler, event_log = noting()
    client = Poller(await serve(longpoll_app(handler)))
    asked = [
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "X-Phoenix-AuthToken"),
        ("Access-Control-Request-Headers", "content-type"),
    ]

    answer = await client.request("OPTIONS", headers=asked)

    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Methods"] == "get, post, options"
    assert answer.headers["Access-Control-Allow-Headers"] == "X-Phoenix-AuthToken, content-type"
    assert answer.headers["Access-Control-Max-Age"] == "3600"
    assert answer.headers["Cache-Control"] == "max-age=0, private, must-revalidate"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert event_log.is_empty


async def test_a_preflight_that_asks_for_nothing(serve: Serve) -> None:
    """§5.6: the allowed headers are present, but empty."""
    client = Poller(await serve(rooms_app(OpenChannel)))

    answer = await client.request("OPTIONS")

    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Headers"] == ""


# Origins.


@pytest.mark.parametrize(
    "method", ["GET", "POST", "OPTIONS", "HEAD", "PUT", "DELETE", "PATCH", "PROPFIND"]
)
async def test_a_refused_origin(
    serve: Serve, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    """B10, §1.5, §9.3.51, §9.4.61, §10.10: HTTP 200, 403 in the body, for every method; logged."""
    handler, event_log = noting()
    options = LongPollOptions(check_origin=["//example.com"])
    client = Poller(await serve(longpoll_app(handler, options)))

    answer = await client.request(method, headers={"Origin": "http://notallowed.com"})

    assert answer.status == 200
    assert answer.body == (b"" if method == "HEAD" else FORBIDDEN)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Cache-Control"] == "no-store"
    assert event_log.is_empty
    assert "Could not check origin for Phoenix.Socket transport." in caplog.text
    assert "http://notallowed.com" in caplog.text


@pytest.mark.parametrize("target", [LP_V1, LP_V2])
async def test_an_allowed_origin(serve: Serve, target: str) -> None:
    """§9.3.51, §9.4.61: a listed origin gets its session."""
    options = LongPollOptions(check_origin=["//example.com"])
    base_url = await serve(rooms_app(OpenChannel, options))

    client = await Poller.open(base_url, target, {"Origin": "https://example.com"})

    assert client.token


@pytest.mark.parametrize(
    ("check", "origin", "is_allowed"),
    [
        (None, "http://localhost", True),
        (None, "https://localhost:8443", True),
        (None, "http://evil.com", False),
        (None, "null", False),
        (False, "http://evil.com", True),
        (CONN, "http://evil.com", False),
    ],
)
async def test_the_origin_policy_is_that_of_the_mount(
    serve: Serve, check: Any, origin: str, is_allowed: bool
) -> None:
    """§1.5, §10.7-8: the rules are the same as for websockets; the default is the host."""
    client = Poller(await serve(rooms_app(OpenChannel, LongPollOptions(check_origin=check))))

    answer = await client.get(headers={"Origin": origin})

    assert answer.json["status"] == (410 if is_allowed else 403)


async def test_a_session_does_not_spare_the_origin_check(serve: Serve) -> None:
    """§5.1: a stolen token is useless for a page that may not connect."""
    client = await Poller.open(await serve(rooms_app(OpenChannel)))
    headers = {"Origin": "http://evil.com"}

    polled = await client.get(headers=headers)
    posted = await client.request("POST", compact_json(BEAT).encode(), headers)

    assert is_forbidden(polled)
    assert is_forbidden(posted)
    await client.fence()


# Connect.


@pytest.mark.parametrize("target", [LP_V1, LP_V2])
@pytest.mark.parametrize("how", ["error", "reason", "nonsense"])
async def test_a_refused_connect(serve: Serve, target: str, how: str) -> None:
    """403 in the body, without token and messages."""
    handler, _diary = noting()
    client = Poller(await serve(longpoll_app(handler)), f"{target}&answer={how}")

    answer = await client.get()

    assert is_forbidden(answer)
    assert answer.headers["Cache-Control"] == "no-store"


async def test_an_id_that_is_not_a_string(serve: Serve) -> None:
    """§1.4: a socket id of another type refuses the connect."""

    class NumberedSocket(SocketHandler):
        def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
            return ok()

        def id(self, socket: Socket) -> Any:
            return 7

    client = Poller(await serve(longpoll_app(NumberedSocket)))

    assert is_forbidden(await client.get())


async def test_a_connect_that_raises(serve: Serve) -> None:
    """§1.4, §5.1: a real HTTP 500."""
    handler, _diary = noting()
    client = Poller(await serve(longpoll_app(handler)), LP_V2 + "&answer=raise")

    assert (await client.get()).status == 500


@pytest.mark.parametrize(
    ("vsn", "is_fine"),
    [
        ("vsn=1.0.0", True),
        ("vsn=2.0.7", True),
        ("", True),
        ("vsn=123.1.1", False),
        ("vsn=2.1.0", False),
        ("vsn=2.0", False),
        ("vsn=", False),
        ("vsn[]=2.0.0", False),
    ],
)
async def test_versions(
    serve: Serve, caplog: pytest.LogCaptureFixture, vsn: str, is_fine: bool
) -> None:
    """§1.4, §9.3.56, §9.13.206, §10.1-3: as for websockets, refused with 403 in the body."""
    client = Poller(await serve(rooms_app(OpenChannel)), f"/socket/longpoll?{vsn}")

    answer = await client.get()

    assert answer.json["status"] == (410 if is_fine else 403)
    if vsn == "vsn=123.1.1":
        assert 'The client\'s requested transport version "123.1.1" does not match' in caplog.text


async def test_without_a_version_it_is_v1(serve: Serve) -> None:
    """§1.4, §10.1: a session without `vsn` uses objects."""
    client = await Poller.open(await serve(rooms_app(OpenChannel)), "/socket/longpoll?")

    await client.post('{"topic":"room:a","event":"phx_join","payload":{},"ref":"1"}', "")

    assert await client.recv() == {
        "event": "phx_reply",
        "payload": OK,
        "ref": "1",
        "topic": "room:a",
    }


async def test_connect_info_of_long_polling(serve: Serve) -> None:
    """§9.3.40-43, §9.4.62: headers, peer and uri are those of the GET that creates the session."""
    handler, event_log = noting()
    app = longpoll_app(handler, path="/ws/connect_info")
    base_url = await serve(app)
    headers = {
        "X-Application": "Phoenix",
        "traceparent": "00-a-b-01",
        "tracestate": "k=v",
        "User-Agent": "tests/1",
    }

    client = await Poller.open(base_url, "/ws/connect_info/longpoll?vsn=2.0.0", headers)
    await client.fence()

    params, info = await event_log.next()
    host, port = base_url.removeprefix("http://").split(":")
    assert params == {"vsn": "2.0.0"}
    assert ("x-application", "Phoenix") in info["x_headers"]
    assert info["trace_context_headers"] == [("traceparent", "00-a-b-01"), ("tracestate", "k=v")]
    assert info["user_agent"] == "tests/1"
    assert info["peer_data"]["address"] == "127.0.0.1"
    assert info["uri"] == {
        "scheme": "http",
        "host": host,
        "port": int(port),
        "path": "/ws/connect_info/longpoll",
        "query": "vsn=2.0.0&",
    }
    assert event_log.is_empty


async def test_only_the_first_get_connects(serve: Serve) -> None:
    """§5.2: the parameters of later requests, also the version, are ignored."""
    handler, event_log = noting()
    client = await Poller.open(await serve(longpoll_app(handler)), LP_V2 + "&user=ann")

    client.url = client.url.replace("vsn=2.0.0&user=ann", "vsn=1.0.0&answer=error")
    await client.fence()

    assert (await event_log.next())[0] == {"vsn": "2.0.0", "user": "ann"}
    assert event_log.is_empty


async def test_own_entries_of_connect_info(serve: Serve) -> None:
    """§1.8: `connect` gets the entries of the mount."""
    handler, event_log = noting()
    options = LongPollOptions(connect_info={"deployment": "blue"})

    await Poller.open(await serve(longpoll_app(handler, options)))

    assert (await event_log.next())[1]["deployment"] == "blue"


async def test_a_connect_is_logged(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """§1.4: with its transport and serializer; secrets are filtered."""
    caplog.set_level("INFO")
    handler, _diary = noting()

    await Poller.open(await serve(longpoll_app(handler)), LP_V1 + "&my_password=s3cret")

    assert "CONNECTED TO NotingSocket" in caplog.text
    assert "Transport: :longpoll" in caplog.text
    assert "V1JSONSerializer" in caplog.text
    assert "s3cret" not in caplog.text


# Paths and queries.


async def test_path_variables(serve: Serve) -> None:
    """§1.1, §9.4.63, §9.13.222: they are params and win; polls and posts use the same path."""
    handler, event_log = noting()
    options = LongPollOptions(path="nested/:kind/lp")
    app = longpoll_app(handler, options, path="/custom/:tenant")
    target = "/custom/acme/nested/x/lp?vsn=2.0.0&tenant=evil&key=v"

    client = await Poller.open(await serve(app), target)
    await client.fence()

    params, _info = await event_log.next()
    assert params == {"vsn": "2.0.0", "tenant": "acme", "kind": "x", "key": "v"}


@pytest.mark.parametrize("path", ["/socket/longpoll/", "//socket//longpoll"])
async def test_empty_segments_do_not_count(serve: Serve, path: str) -> None:
    """§1.1, §10.75: a trailing or double slash changes nothing."""
    client = await Poller.open(await serve(rooms_app(OpenChannel)), f"{path}?vsn=2.0.0")

    await client.join()


async def test_long_polling_is_off_by_default(serve: Serve) -> None:
    """§1.1, §8: by default the long-poll path is 404."""
    client = Poller(await serve(longpoll_app(accepting({}), longpoll=False)))

    assert (await client.get()).status == 404


async def test_the_websocket_may_be_off(serve: Serve, dial: Dial) -> None:
    """§1.1: a socket may be served over long-polling alone."""
    app = longpoll_app(accepting({"room:*": OpenChannel}), websocket=False)
    base_url = await serve(app)
    client = await Poller.open(base_url)

    refused = await (await dial(base_url)).handshake("/socket/websocket?vsn=2.0.0")

    await client.join()
    assert refused.status == 404


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "PUT"])
async def test_a_query_that_is_not_utf8(serve: Serve, method: str) -> None:
    """B10, §1.3.2, §5.1: a real HTTP 400 before anything else, so without CORS headers; a percent
    sign without digits is kept."""
    handler, event_log = noting()
    base_url = await serve(longpoll_app(handler))

    bad = await Poller(base_url, LP_V2 + "&a=%ff").request(method)
    await Poller.open(base_url, LP_V2 + "&a=%zz")

    assert bad.status == 400
    assert "Access-Control-Allow-Origin" not in bad.headers
    assert (await event_log.next())[0] == {"vsn": "2.0.0", "a": "%zz"}
    assert event_log.is_empty


async def test_two_endpoints_know_nothing_of_each_other(serve: Serve) -> None:
    """§5.2: a token of another endpoint creates a new session, and posts nothing."""
    here = await Poller.open(await serve(rooms_app(OpenChannel, endpoint=Endpoint())))
    there = Poller(await serve(rooms_app(OpenChannel, endpoint=Endpoint())))

    posted = await there.post(compact_json(BEAT), token=here.token)
    polled = await there.get(token=here.token)

    assert posted.json == {"status": 410}
    assert polled.json["status"] == 410
    assert polled.json["token"] != here.token
    await here.fence()
