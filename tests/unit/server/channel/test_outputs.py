"""What clients get of a text that is being written."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.endpoint import Endpoint
from phoenix_compat.protocol.message import Broadcast
from phoenix_compat.server.channel.outputs import TaskOutputs
from phoenix_compat.tasks.model.task import TaskId
from phoenix_compat.tasks.streams.written_text import WrittenText

TASK = TaskId("t-1")


class Scene:
    """Outputs, and what is broadcast of one task: (seq, text) each."""

    def __init__(self, **limits: int) -> None:
        endpoint = Endpoint()
        self.outputs = TaskOutputs(endpoint, **limits)
        self.received: list[tuple[int, str]] = []
        endpoint.subscribe(f"task:{TASK}", self._receive)

    def _receive(self, broadcast: Broadcast) -> None:
        payload: dict[str, Any] = broadcast.payload
        assert broadcast.event == "output"
        assert payload["task_id"] == TASK
        self.received.append((payload["seq"], payload["text"]))

    async def write(self, text: WrittenText, *parts: str) -> None:
        """Write and announce parts in one turn of the event loop, and let it end."""
        for part in parts:
            text.write(text.chars, part)
            self.outputs.announce_text(TASK, text)
        await asyncio.sleep(0)

    @property
    def present(self) -> tuple[int, str] | None:
        """What a client gets that joins now."""
        payload = self.outputs.present(TASK)
        return None if payload is None else (payload["seq"], payload["text"])


async def test_parts_of_one_turn_are_one_event() -> None:
    """Each event has what is new since the last one, and the length of the whole."""
    scene, text = Scene(), WrittenText("p-1")

    await scene.write(text, "Once", " upon")
    await scene.write(text, "\U0001f9d1")

    assert scene.received == [(9, "Once upon"), (11, "\U0001f9d1")]
    assert scene.present == (11, "Once upon\U0001f9d1")
    assert scene.outputs.counts.broadcasts == 2


async def test_a_client_that_joins_gets_what_was_broadcast() -> None:
    """Not what is about to be broadcast, because it will get that too."""
    scene, text = Scene(), WrittenText("p-1")
    await scene.write(text, "Once")
    text.write(4, " upon")
    scene.outputs.announce_text(TASK, text)

    present = scene.present
    await asyncio.sleep(0)

    assert present == (4, "Once")
    assert scene.received == [(4, "Once"), (9, " upon")]


async def test_a_text_that_is_replaced_is_sent_whole() -> None:
    """Also if it has become shorter."""
    scene, text = Scene(), WrittenText("p-1")
    await scene.write(text, "Once upon")

    text.correct("Once", is_final=True)
    scene.outputs.announce_text(TASK, text)
    joined_between = scene.present
    await asyncio.sleep(0)

    assert joined_between is None
    assert scene.received == [(9, "Once upon"), (4, "Once")]


async def test_another_prediction_begins_again() -> None:
    """Its first event begins at 0."""
    scene = Scene()
    await scene.write(WrittenText("p-1"), "Once upon")

    await scene.write(WrittenText("p-2"), "Once")

    assert scene.received == [(9, "Once upon"), (4, "Once")]


async def test_a_new_leader_repeats_nothing() -> None:
    """It reads the text from the beginning again; clients get only what they do not have."""
    scene = Scene()
    await scene.write(WrittenText("p-1"), "Once upon")

    again = WrittenText("p-1")
    await scene.write(again, "Once")
    meanwhile = scene.present
    await scene.write(again, " upon", " a")

    assert meanwhile == (9, "Once upon")
    assert scene.received == [(9, "Once upon"), (11, " a")]


async def test_a_new_leader_with_another_text_replaces_it() -> None:
    """If the provider shows something else than before, it is sent whole."""
    scene = Scene()
    await scene.write(WrittenText("p-1"), "Once upon")

    await scene.write(WrittenText("p-1"), "Twice")

    assert scene.received == [(9, "Once upon"), (5, "Twice")]
    assert scene.present == (5, "Twice")


async def test_a_text_is_forgotten_when_its_task_ends() -> None:
    """Nothing is left of it, and nothing is broadcast afterwards."""
    scene, text = Scene(), WrittenText("p-1")
    await scene.write(text, "Once")
    text.write(4, " upon")
    scene.outputs.announce_text(TASK, text)

    scene.outputs.flush(TASK)
    scene.outputs.end(TASK)
    await asyncio.sleep(0)

    assert scene.received == [(4, "Once"), (9, " upon")]
    assert (scene.present, scene.outputs.counts.texts) == (None, 0)


async def test_too_many_texts_are_not_shown() -> None:
    """The others are, and it is counted."""
    scene = Scene(max_texts=1)
    other = WrittenText("p-2")
    other.write(0, "x")
    scene.outputs.announce_text(TaskId("t-2"), other)

    await scene.write(WrittenText("p-1"), "Once")

    assert scene.received == []
    assert scene.outputs.counts.not_shown == 1
    scene.outputs.end("t-2")
    await scene.write(WrittenText("p-1"), "Once")
    assert scene.received == [(4, "Once")]


class Client:
    """A client that follows the rule of docs/tasks.md, and comes and goes."""

    def __init__(self, endpoint: Endpoint, outputs: TaskOutputs) -> None:
        self.text = ""
        self.is_joined = False
        self._endpoint = endpoint
        self._outputs = outputs

    def toggle(self) -> None:
        """Join, and get what there is so far; or leave."""
        self.is_joined = not self.is_joined
        if not self.is_joined:
            self._endpoint.unsubscribe(f"task:{TASK}", self._receive)
            return
        self._endpoint.subscribe(f"task:{TASK}", self._receive)
        if (present := self._outputs.present(TASK)) is not None:
            self._take(present)

    def _receive(self, broadcast: Broadcast) -> None:
        self._take(broadcast.payload)

    def _take(self, payload: dict[str, Any]) -> None:
        known, part = (text.encode("utf-16-le") for text in (self.text, payload["text"]))
        start = payload["seq"] * 2 - len(part)
        assert 0 <= start <= len(known), "a hole"
        self.text = (known[:start] + part).decode("utf-16-le")


@given(
    steps=st.lists(
        st.one_of(
            st.text(alphabet="ab \U0001f9d1", max_size=4),
            st.sampled_from(["turn", "join", "replace", "leader", "prediction"]),
        ),
        max_size=30,
    ),
    rest=st.text(alphabet="ab \U0001f9d1", max_size=4),
)
def test_every_client_ends_with_the_text(steps: list[str], rest: str) -> None:
    """Whatever the parts, turns and replacements, and whenever clients come and go."""

    async def run() -> None:
        endpoint = Endpoint()
        outputs = TaskOutputs(endpoint)
        stays, comes_and_goes = Client(endpoint, outputs), Client(endpoint, outputs)
        stays.toggle()
        text = WrittenText("p-1")
        for step in steps:
            match step:
                case "turn":
                    await asyncio.sleep(0)
                    continue
                case "join":
                    comes_and_goes.toggle()
                    continue
                case "replace":
                    text.correct(text.text[1:] + "x", is_final=True)
                case "leader":
                    whole, text = text.text, WrittenText(text.prediction_id)
                    text.write(0, whole[: len(whole) // 2])
                case "prediction":
                    text = WrittenText(f"{text.prediction_id}+")
                    text.write(0, "n")
                case part:
                    text.write(text.chars, part)
            outputs.announce_text(TASK, text)
        text.correct(text.text + rest + "end", is_final=True)
        outputs.announce_text(TASK, text)
        outputs.flush(TASK)
        if not comes_and_goes.is_joined:
            comes_and_goes.toggle()

        assert stays.text == comes_and_goes.text == text.text

    asyncio.run(run())
