"""The differential fuzzer: it finds what is planted, and nothing where nothing is."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import pytest

from phoenix_compat import Endpoint, HandleResult, Socket, ok, on
from phoenix_compat.conformance.fuzz.__main__ import main
from phoenix_compat.conformance.fuzz.generate import random_script
from phoenix_compat.conformance.fuzz.run import Fuzzer, Outcome
from phoenix_compat.conformance.fuzz.script import Client, Request, Script, Send
from phoenix_compat.conformance.reference import RoomChannel, UserSocket, build_reference_app
from phoenix_compat.protocol.origin import Origin
from phoenix_compat.transports.admission import is_from_allowed_origin
from phoenix_compat.transports.aiohttp import long_poll
from tests.conftest import Serve

SPEED = 3.0


async def test_a_server_does_not_differ_from_itself(serve: Serve) -> None:
    """Refs, tokens, names and the order of independent topics are no differences."""
    first_url = await serve(build_reference_app())
    second_url = await serve(build_reference_app())

    outcome = await Fuzzer(first_url, second_url, speed=SPEED).run(range(80), 7)

    assert [difference.explain() for difference in outcome.differences] == []
    assert outcome.unfinished == {}
    assert outcome.played == 80


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
    assert "echo_error" in outcome.differences[0].explain()


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

    await Fuzzer(right_url, wrong_url, speed=SPEED).compare(3, script, outcome)

    (difference,) = outcome.differences
    assert difference.script.steps == (
        Request("GET", "/socket/longpoll?vsn=2.0.0", (("Origin", "http://x"),)),
    )
    assert difference.number == 3


async def test_the_command_replays_what_it_printed(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--replay` plays the printed conversation; the exit code tells whether the servers differ."""
    url = await serve(build_reference_app())
    steps = (Send("a", ('["1","1","room:$ID","phx_join",{}]',)),)
    script = Script((Client("a", "/socket/websocket?vsn=2.0.0"),), steps, ("room:$ID",))

    same = await asyncio.to_thread(main, [url, url, "--replay", script.to_json()])
    some = await asyncio.to_thread(main, [url, url, "--conversations", "3"])

    assert (same, some) == (0, 0)
    assert capsys.readouterr().out.startswith("no difference\n3 conversations in")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"clients":[{}],"steps":[],"topics":[]}'])
def test_what_cannot_be_replayed_is_an_error(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong conversation is the user's mistake: exit code 2 and a sentence."""
    with pytest.raises(SystemExit, match="2"):
        main(["http://127.0.0.1:1", "http://127.0.0.1:1", "--replay", text])

    assert "--replay: " in capsys.readouterr().err


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
