"""A client by hand, one frame at a time, for scenarios of the fault server."""

from __future__ import annotations

from typing import Any

from phoenix_compat.conformance.faults.app import other_topic
from phoenix_compat.conformance.faults.fault_session import FaultSessions
from phoenix_compat.conformance.faults.record_view import Finding
from phoenix_compat.conformance.faults.report import judge_scenario
from phoenix_compat.conformance.faults.scenarios import SCENARIOS
from phoenix_compat.conformance.suite.wire_client import Opcode
from tests.conftest import Dial
from tests.wire import PhoenixWire


class ScriptedClient:
    """Plays one scenario; each method is one thing that a client may do, rightly or wrongly.

    Args:
        number: of the client, so that each has its own record.

    Attributes:
        wire: the present connection.
    """

    wire: PhoenixWire

    def __init__(
        self, dial: Dial, base_url: str, sessions: FaultSessions, name: str, number: int
    ) -> None:
        self._scenario = next(one for one in SCENARIOS if one.id == f"client/{name}")
        self._dial = dial
        self._base_url = base_url
        self._session = sessions.session(f"scripted-{number}", self._scenario.session)
        self._ref = 0
        self.topic = self._scenario.topic
        self.other = other_topic(self.topic)
        self.join_refs: dict[str, str] = {}

    async def attempt(self, token: str = "") -> int:
        """Try to connect; the HTTP status."""
        client = await self._dial(self._base_url)
        session = self._session
        target = f"/faults/{session.client}/{session.name}/socket/websocket?vsn=2.0.0"
        answer = await client.handshake(target + (f"&token={token}" if token else ""))
        if answer.status == 101:
            self.wire = PhoenixWire(client)
        return answer.status

    async def connect(self, token: str = "") -> ScriptedClient:
        """Connect, which must succeed, and join the scenario's topic."""
        assert await self.attempt(token) == 101
        await self.join(self.topic)
        await self.until("phx_reply")
        return self

    async def join(self, topic: str) -> None:
        """Join a topic."""
        self._ref += 1
        self.join_refs[topic] = str(self._ref)
        await self.wire.send([str(self._ref), str(self._ref), topic, "phx_join", {}])

    async def send(self, event: str, payload: Any = None, topic: str | None = None) -> None:
        """Push an event, or leave, with the join_ref of the topic."""
        self._ref += 1
        topic = topic or self.topic
        await self.wire.send([self.join_refs[topic], str(self._ref), topic, event, payload or {}])

    async def until(self, event: str) -> list[Any]:
        """Read up to the next message with this event."""
        while (message := await self.wire.recv())[3] != event:
            pass
        return list(message)

    async def end(self) -> int | None:
        """Read up to the end of the connection: its close code, or None for a reset."""
        while (frame := await self.wire.client.read_frame()) is not None:
            if frame.opcode == Opcode.CLOSE:
                await self.wire.close()
                return frame.close_code
        return None

    def finding(self) -> Finding:
        """The final finding on the scenario."""
        return judge_scenario(self._scenario, [self._session], is_final=True).finding
