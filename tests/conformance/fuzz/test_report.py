"""How a difference is shown to people."""

from __future__ import annotations

from phoenix_compat.conformance.fuzz.normalize import Answers
from phoenix_compat.conformance.fuzz.report import Run, explain, summarize
from phoenix_compat.conformance.fuzz.run import Difference, Outcome
from phoenix_compat.conformance.fuzz.script import (
    Client,
    Request,
    Script,
    Send,
    SendBinary,
    SendFrame,
)
from tests.docs.pages import DOCS, blocks

RUN = Run("http://127.0.0.1:4000", "http://127.0.0.1:4001")


def test_every_step_is_a_line_that_people_can_read() -> None:
    """What was sent, without the names of this program's classes."""
    script = Script(
        (Client("a", "/socket/websocket?vsn=2.0.0", (("X-A", "1"),)),),
        (
            Send("a", ("[1]", "[2]")),
            SendBinary("a", "AAE="),
            SendFrame("a", 8, "A+g="),
            SendFrame("a", 1, "", is_final=False, rsv=4, is_masked=False),
            Request("POST", "/socket/longpoll", (("Origin", "x"),), "{}"),
        ),
    )

    lines = explain(Difference(3, script, ([{}], [{"a": ["HTTP 101"]}])), RUN).splitlines()

    assert lines[:12] == [
        "conversation 3 differs, 6 frames:",
        "  a connects to /socket/websocket?vsn=2.0.0",
        "      X-A: 1",
        "  a sends [1]",
        "    and [2]",
        r"  a sends b'\x00\x01'",
        r"  a sends the frame b'\x03\xe8', opcode 8",
        "  a sends the frame b'', opcode 1, not final, RSV 4, not masked",
        "  POST /socket/longpoll HTTP/1.1",
        "      Origin: x",
        "      {}",
        "    --- http://127.0.0.1:4000",
    ]
    assert lines[-1].startswith("  again: phoenix-compat conformance fuzz http://127.0.0.1:4000 ")


def test_the_page_shows_what_the_command_prints() -> None:
    """The example of docs/conformance-fuzz.md, but for the conversation in its last line."""
    (shown,) = blocks((DOCS / "conformance-fuzz.md").read_text(), "text")
    join, echo = ('["1","1","room:$ID","phx_join",{}]', '["1","2","room:$ID","echo_error",{}]')
    script = Script(
        (Client("a", "/extra/websocket?vsn=2.0.0"),), (Send("a", (join,)), Send("a", (echo,)))
    )
    reply = '["1", "2", "room:$ID", "phx_reply", {"response": {}, "status": "%s"}]'
    joined = '["1", "1", "room:$ID", "phx_reply", {"response": {…}, "status": "ok"}]'
    before: Answers = [{"a": ["HTTP 101", "upgrade: websocket"]}, {"a": {"room:$ID": [joined]}}]
    error, right = ([*before, {"a": {"room:$ID": [reply % status]}}] for status in ("error", "ok"))

    printed = explain(Difference(12, script, (error, right)), RUN)

    assert shown == f"{printed.partition('--replay')[0]}--replay '…'\n"


def test_the_summary_names_what_was_not_judged() -> None:
    """Each count that is not 0 is there."""
    outcome = Outcome(20, unconfirmed=1, unfinished={"EOFError": 2}, unjudged=4)

    assert summarize(outcome, RUN, 1.2) == (
        "20 conversations in 1 s, seed 1: not judged; 1 differed once, and not when played alone; "
        "4 differed once, and were not played again; 2 could not be played (EOFError: 2)"
    )
    outcome.differences.append(Difference(1, Script(), ([], [])))
    outcome.repeated = 3
    assert "seed 1: 1 different; 3 more became one of these; " in summarize(outcome, RUN, 1.2)
