"""The differential fuzzer: it finds what is planted, and nothing where nothing is."""

from __future__ import annotations

import base64
import itertools
from typing import Any
from urllib.parse import urlsplit

import pytest

from phoenix_compat import Endpoint, HandleResult, Socket, error, ok, on
from phoenix_compat.conformance.fuzz.generate import random_script
from phoenix_compat.conformance.fuzz.normalize import RESET, agree, topic_of_binary
from phoenix_compat.conformance.fuzz.play import ChannelFences, Player
from phoenix_compat.conformance.fuzz.report import Run, explain
from phoenix_compat.conformance.fuzz.run import Fuzzer, Outcome, Result
from phoenix_compat.conformance.fuzz.script import Client, Request, Script, Send, SendFrame
from phoenix_compat.conformance.reference import RoomChannel, UserSocket, build_reference_app
from phoenix_compat.protocol.origin import Origin
from phoenix_compat.transports import long_poll
from phoenix_compat.transports.admission import is_from_allowed_origin
from tests.conftest import Serve

SPEED = 3.0


async def test_a_server_does_not_differ_from_itself(serve: Serve) -> None:
    """Refs, tokens, names and the order of independent topics are no differences."""
    first_url = await serve(build_reference_app())
    second_url = await serve(build_reference_app())

    outcome = await Fuzzer(first_url, second_url, speed=SPEED).run(range(80), 7)

    run = Run(first_url, second_url)
    assert [explain(difference, run) for difference in outcome.differences] == []
    assert outcome.unfinished == {}
    assert (outcome.played, outcome.result) == (80, Result.NO_DIFFERENCE)


class WrongChannel(RoomChannel):
    """Answers `echo_error` with ok."""

    @on("echo_error")
    def echo_error(self, payload: Any, socket: Socket) -> HandleResult:
        """Reply ok."""
        return ok(payload)


async def test_a_mutant_is_found_and_shrunk(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers `echo_error` with ok differs, in a join and that event alone."""
    right_url = await serve(build_reference_app())
    monkeypatch.setitem(UserSocket.channels, "room:*", WrongChannel)
    wrong_url = await serve(build_reference_app())

    outcome = await Fuzzer(right_url, wrong_url, speed=SPEED).run(range(300), 7, max_differences=1)

    smallest = outcome.differences[0].script
    assert len(smallest.clients) == 1
    assert len(smallest.steps) == 2
    assert all(isinstance(step, Send) and len(step.texts) == 1 for step in smallest.steps)
    assert "echo_error" in explain(outcome.differences[0], Run(right_url, wrong_url))


class FickleChannel(RoomChannel):
    """Answers every second `echo_error` with ok."""

    calls = itertools.count()

    @on("echo_error")
    def echo_error(self, payload: Any, socket: Socket) -> HandleResult:
        """Reply ok, or the error."""
        return ok(payload) if next(self.calls) % 2 == 0 else error(payload)


async def test_what_a_server_answers_sometimes_is_no_difference(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An order that is not defined, as a race in Phoenix, is suspected and then judged as none."""
    url = await serve(build_reference_app())
    monkeypatch.setitem(UserSocket.channels, "room:*", FickleChannel)
    fickle_url = await serve(build_reference_app())
    texts = ('["1","1","room:$ID","phx_join",{}]',), ('["1","2","room:$ID","echo_error",{}]',)
    client = Client("a", "/socket/websocket?vsn=2.0.0")
    script = Script((client,), tuple(Send("a", text) for text in texts), ("room:$ID",))
    fuzzer = Fuzzer(url, fickle_url, speed=SPEED)
    outcome = Outcome()

    is_suspected = await fuzzer.is_suspected(script, outcome)
    difference = await fuzzer.judge(3, script, outcome)

    assert (is_suspected, difference) == (True, None)
    assert (outcome.differences, outcome.unconfirmed) == ([], 1)


@pytest.mark.parametrize("text", ['["1","1","room:$ID",{"a":1},{}]', '{"event":[]}', "[[],1]"])
async def test_a_message_of_any_form_can_be_played(serve: Serve, text: str) -> None:
    """An event that is no text is the server's to refuse, not the fuzzer's."""
    url = await serve(build_reference_app())
    client = Client("a", "/socket/websocket?vsn=2.0.0")
    fuzzer = Fuzzer(url, url, speed=SPEED)

    first, second = await fuzzer.answers(Script((client,), (Send("a", (text,)),), ("room:$ID",)))

    assert first == second
    assert len(first) == 2


@pytest.mark.parametrize(
    ("data", "topic"),
    [
        (b"\x00\x01\x06\x021room:apb\x04", "room:a"),
        (b"\x01\x01\x01\x06\x0219room:aok\x06", "room:a"),
        (b"\x02\x06\x01room:ab\x01", "room:a"),
        (b"\x00\x00\x16\x01room:fuzz-0123456789abb", "room:$ID"),
        (b"", ""),
        (b"\x07\x01\x01\x01abc", ""),
        (b"\x01\x01\x01", ""),
    ],
)
def test_binary_messages_are_told_apart_by_topic(data: bytes, topic: str) -> None:
    """The order of messages of two topics is not compared; binary ones have a topic as well."""
    assert topic_of_binary(data) == topic


async def test_a_mutant_of_requests_is_found(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that lets every origin in differs in a request with an origin and nothing else."""
    right_url = await serve(build_reference_app())
    open_app = build_reference_app()
    wrong_url = await serve(open_app)
    script = Script(
        steps=(
            Request(
                "GET", "/socket/longpoll?a=1&vsn=2.0.0", (("X-A", "1"), ("Origin", "http://x"))
            ),
        )
    )

    def lenient(origin: str | None, conn: Origin, endpoint: Endpoint, options: Any) -> bool:
        port = urlsplit(wrong_url).port
        return conn.port == port or is_from_allowed_origin(origin, conn, endpoint, options)

    monkeypatch.setattr(long_poll, "is_from_allowed_origin", lenient)
    outcome = Outcome()

    await Fuzzer(right_url, wrong_url, speed=SPEED).judge(3, script, outcome)

    (difference,) = outcome.differences
    assert difference.script.steps == (
        Request("GET", "/socket/longpoll?vsn=2.0.0", (("Origin", "http://x"),)),
    )
    assert difference.number == 3


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"": ["close 1011"]}, {"": ["close 1011"]}, True),
        ({"": ["close 1006"]}, {"": ["close 1011"]}, False),
        ({"": [RESET]}, {"": ["close 1011"]}, True),
        ({"": ["close 1002"]}, {"": [RESET]}, True),
        ({"": ["opcode 9 x", RESET]}, {"": ["opcode 9 x", "close 1000"]}, True),
        ({"": ["opcode 9 x", RESET]}, {"": ["close 1000"]}, False),
        ({"": [RESET], "room:$ID": ["x"]}, {"": ["close 1011"]}, False),
        ({"": [RESET]}, {"room:$ID": ["x"]}, False),
        ({"": [RESET]}, {}, False),
        (["HTTP 101"], ["HTTP 403"], False),
        (["HTTP 101"], {"": [RESET]}, False),
    ],
)
def test_a_reset_hides_the_close_frame_only(one: Any, other: Any, same: bool) -> None:
    """Whatever was heard before it is still compared."""
    assert agree([{}, {"a": one}], [{}, {"a": other}]) == same
    assert not agree([{"a": one}], [{"b": one}])
    assert not agree([{"a": one}], [])


def test_conversations_depend_on_seed_and_number_only() -> None:
    """The same seed and number are the same conversation, and JSON keeps all of it."""
    scripts = [random_script(1, number) for number in range(200)]

    assert scripts == [random_script(1, number) for number in range(200)]
    assert scripts == [Script.from_json(script.to_json()) for script in scripts]
    assert scripts[:50] != [random_script(2, number) for number in range(50)]


def test_conversations_reach_everything() -> None:
    """Both versions, both transports, requests, queries, frames and binary messages occur."""
    scripts = [random_script(1, number) for number in range(400)]
    targets = {client.target for script in scripts for client in script.clients}
    kinds = {type(step).__name__ for script in scripts for step in script.steps}

    for part in ("websocket?", "longpoll?", "vsn=1.0.0", "vsn=2.0.0", "a[b]"):
        assert any(part in target for target in targets)
    assert kinds == {"Send", "SendBinary", "SendFrame", "Request"}


async def test_a_message_in_fragments_is_not_interrupted(serve: Serve) -> None:
    """The player waits for its end before it asks whether the step has been handled."""
    url = await serve(build_reference_app())
    text = b'[null,"1","phoenix","heartbeat",{}]'
    frames = ((1, text[:9], False), (9, b"x", True), (0, text[9:], True))
    steps = tuple(
        SendFrame("a", opcode, base64.b64encode(data).decode(), is_final)
        for opcode, data, is_final in frames
    )
    fuzzer = Fuzzer(url, url, speed=SPEED)

    answers, _same = await fuzzer.answers(
        Script((Client("a", "/socket/websocket?vsn=2.0.0"),), steps)
    )

    assert [list(heard.get("a", {})) for heard in answers[1:]] == [[], [""], ["phoenix"]]


async def test_a_server_that_does_not_answer_fences_is_played_without_them(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After three plays whose fences were not answered, the next ones do not wait for any."""
    monkeypatch.setitem(UserSocket.channels, "room:*", SilentChannel)
    url = await serve(build_reference_app())
    join = Send("a", ('["1","1","room:$ID","phx_join",{}]',))
    script = Script((Client("a", "/socket/websocket?vsn=2.0.0"),), (join,), ("room:$ID",))
    fences = ChannelFences()

    for _play in range(3):
        assert fences.are_useful
        await Player(url, script, SPEED, fences).play()

    assert not fences.are_useful
    (_connected, heard) = await Player(url, script, SPEED, fences).play()
    assert len(heard["a"]["room:$ID"]) == 1


class SilentChannel(RoomChannel):
    """Answers joins, and nothing else."""

    @on("reply_ok")
    def reply_ok(self, payload: Any, socket: Socket) -> HandleResult:
        """Do not reply."""
        return None
