"""A text is never thinned out for a client that reads slowly."""

from __future__ import annotations

from typing import Any

from phoenix_compat import Endpoint, Limits, Result, Socket, ok
from phoenix_compat.server.channel.outputs import OUTPUT, TaskOutputs
from phoenix_compat.tasks.model.task import TaskId
from phoenix_compat.tasks.streams.written_text import WrittenText
from tests.conftest import Open, Serve
from tests.integration.echo_app import OpenChannel
from tests.serving import accepting, socket_app

SIZE = 200_000


async def test_a_slow_client_is_closed_and_gets_the_whole_text_again(
    serve: Serve, open_wire: Open
) -> None:
    """At its limit it is closed and counted; no event was replaced, and others get each of them."""
    endpoint = Endpoint(limits=Limits(max_outbox_bytes=1_000_000, close_timeout_s=0.1))
    outputs = TaskOutputs(endpoint)

    class WrittenChannel(OpenChannel):
        async def join(self, topic: str, payload: Any, socket: Socket) -> Result:
            socket.send_self(None)
            return ok()

        def handle_info(self, message: Any, socket: Socket) -> None:
            if (present := outputs.present(socket.topic.removeprefix("task:"))) is not None:
                socket.push(OUTPUT, present)

    app = socket_app(accepting({"task:*": WrittenChannel}), endpoint=endpoint)
    base_url = await serve(app)
    deaf, good = await open_wire(base_url), await open_wire(base_url)
    for wire in (deaf, good):
        await wire.join("task:1")

    text = WrittenText("p-1")
    for number in range(150):
        text.correct(f"{number} " * (SIZE // len(f"{number} ")), is_final=True)
        outputs.announce_text(TaskId("1"), text)
        *_, event, payload = await good.recv()
        assert (event, payload["text"]) == (OUTPUT, text.text)

    assert endpoint.counters.slow_clients_closed == 1
    assert endpoint.counters.frames_replaced == 0
    returned = await open_wire(base_url)
    await returned.join("task:1")
    *_, payload = await returned.recv()
    assert payload == {"task_id": "1", "seq": text.units, "text": text.text}
