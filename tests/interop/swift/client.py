"""An app with SwiftPhoenixClient: a socket, and one channel that it joins after every connect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from phoenix_compat.conformance.suite.wire_client import (
    Headers,
    Opcode,
    RawFrame,
    encode_close,
)
from tests.interop.swift.versions import SwiftVersion
from tests.patience import patient
from tests.wire import PatientClient

LIFECYCLE: Final = {"phx_join", "phx_leave", "phx_reply", "phx_error", "phx_close"}
TERMINAL: Final = {"completed", "failed"}
_REJOIN_S: Final = 1.0
_TIMEOUT_S: Final = 30.0


class SwiftApp:
    """Connects and joins until it is told to leave.

    Attributes:
        progress: the payloads of `progress`, over all connections.
        joins: how often a join was answered with "ok".
        heartbeats: how many heartbeats were acknowledged.
        dropped: frames that this version does not understand, and answers it has no request for.
        refusals: the statuses of handshakes that were not answered with 101.
    """

    def __init__(
        self,
        version: SwiftVersion,
        url: str,
        topic: str,
        *,
        params: Mapping[str, str],
        headers: Headers = (),
    ) -> None:
        self.progress: list[Mapping[str, Any]] = []
        self.joins = 0
        self.heartbeats = 0
        self.dropped: list[str] = []
        self.refusals: list[int] = []
        self.is_left = False
        self.close_code: int | None = None
        self._version = version
        self._url = url
        self._topic = topic
        self._params = params
        self._headers = headers
        self._last_ref = version.first_ref - 1
        self._join_ref = ""
        self._requests: dict[str, str] = {}
        self._client: PatientClient | None = None
        self._has_changed = asyncio.Event()

    async def run(self) -> None:
        """Stay connected until `leave`, or until cancelled."""
        attempts = 0
        while not self.is_left:
            try:
                if await self._connect():
                    attempts = 0
                    await self._receive()
            except OSError:
                pass
            finally:
                await self._disconnect()
            retry_s = self._version.retry_s
            await asyncio.sleep(retry_s[min(attempts, len(retry_s) - 1)])
            attempts += 1

    async def until(self, is_so: Callable[[SwiftApp], bool], timeout_s: float = _TIMEOUT_S) -> None:
        """Wait for a condition that frames bring about."""
        async with asyncio.timeout(patient(timeout_s)):
            while not is_so(self):
                self._has_changed.clear()
                await self._has_changed.wait()

    async def leave(self) -> None:
        """Leave the channel, and disconnect as the app does, with 1000."""
        self.is_left = True
        await self._request("phx_leave", self._topic, {}, self._join_ref)
        await self.until(lambda app: "phx_leave" not in app._requests.values())
        assert self._client is not None
        await self._client.send_bytes(encode_close(1000))
        await self.until(lambda app: app.close_code is not None)

    @property
    def end(self) -> Mapping[str, Any] | None:
        """The terminal `progress`, if it was received."""
        ends = [payload for payload in self.progress if payload["status"] in TERMINAL]
        return ends[-1] if ends else None

    async def _connect(self) -> bool:
        self._client = client = await PatientClient.connect(self._url)
        extra = [*self._version.headers(self._url), *self._headers]
        answer = await client.handshake(self._version.target(self._params), extra=extra)
        if answer.status != 101:
            self.refusals.append(answer.status)
            return False
        # A protocol or an extension that was not asked for ends the connection; URLSession's
        # inflate has bugs, so the extension must not be accepted either.
        assert answer.header("sec-websocket-protocol") is None
        assert answer.header("sec-websocket-extensions") is None
        self._requests.clear()
        await self._join()
        await self._request("heartbeat", "phoenix", {})
        return True

    async def _join(self) -> None:
        self._join_ref = str(self._last_ref + 1)
        await self._request("phx_join", self._topic, {}, self._join_ref)

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _request(
        self, event: str, topic: str, payload: Mapping[str, Any], join_ref: str | None = None
    ) -> None:
        self._last_ref += 1
        ref = str(self._last_ref)
        self._requests[ref] = event
        assert self._client is not None
        frame = self._version.encode(join_ref, ref, topic, event, payload)
        opcode = Opcode.BINARY if self._version.is_binary else Opcode.TEXT
        await self._client.send_frame(frame, opcode)

    async def _receive(self) -> None:
        assert self._client is not None
        while (frame := await self._client.read_frame(None)) is not None:
            if frame.opcode == Opcode.CLOSE:
                self.close_code = frame.close_code
                self._has_changed.set()
                return
            await self._handle_frame(frame)
            self._has_changed.set()

    async def _handle_frame(self, frame: RawFrame) -> None:
        if frame.opcode != Opcode.TEXT or frame.rsv or not frame.is_final:
            self.dropped.append(repr(frame))
            return
        message = self._version.decode(frame.text)
        if message is None:
            self.dropped.append(frame.text)
            return
        join_ref, ref, topic, event, payload = message
        is_of_another_join = join_ref is not None and join_ref != self._join_ref
        if event == "phx_reply" and ref in self._requests:
            await self._handle_reply(self._requests.pop(ref), payload)
        elif topic != self._topic or (is_of_another_join and event in LIFECYCLE):
            self.dropped.append(frame.text)
        elif event == "progress":
            self.progress.append(payload)
        elif event != "phx_close" or not self.is_left:
            self.dropped.append(frame.text)

    async def _handle_reply(self, request: str, reply: Mapping[str, Any]) -> None:
        assert isinstance(reply["response"], dict)
        if request == "phx_join" and reply["status"] != "ok":
            await asyncio.sleep(_REJOIN_S)
            await self._join()
            return
        assert reply["status"] == "ok", (request, reply)
        self.joins += request == "phx_join"
        self.heartbeats += request == "heartbeat"
