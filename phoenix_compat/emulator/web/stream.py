"""GET /stream/{id}: the output of a prediction as server-sent events, or what a fault makes of it.

Each chunk of a text is an event of its own. Other outputs are sent whole, when they exist.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from aiohttp import web

from phoenix_compat.emulator.faults.fault import Answer, Fault, Hang, Reset, Stage, StreamFault
from phoenix_compat.emulator.json_type import JSON
from phoenix_compat.emulator.predictions.prediction import Moment, Prediction
from phoenix_compat.emulator.predictions.run_output import (
    is_written,
    output_at,
    text_chunks,
    written_chunks,
)
from phoenix_compat.emulator.schedule import Status
from phoenix_compat.emulator.state import EmulatorState
from phoenix_compat.emulator.web.fault_response import is_disconnected, respond_with_fault
from phoenix_compat.emulator.web.request_context import fault_specs_of, prediction_of, state_of

_IDLE_S = 30.0
_IDLE_COMMENT = b":408: 408 Request Timeout\n\n"
_GARBAGE = b"event: output\nid: 0:0\ndata: \xff\xfe\xfa <html>\n\n"
_FAULTY_EVENT = 2
"""The index of the event that `LOST`, `GARBAGE` and `ERROR` replace."""
_EVENTS_BEFORE_CUT = 3
_SLOW_BYTES = 3
_SLOW_PAUSE_S = 0.02


async def stream_prediction(request: web.Request) -> web.StreamResponse:
    """Stream the events `output` (one per chunk), `error` and `done`, after `Last-Event-ID`."""
    state, prediction = state_of(request), prediction_of(request)
    state.counts["streams"] += 1
    faults = state.faults.pick_all(
        Stage.STREAM, (*fault_specs_of(request), *prediction.fault_specs), prediction.id
    )
    for fault in faults:
        if isinstance(fault.action, Answer | Hang | Reset):
            return await respond_with_fault(request, fault.action, _unused)
    return await _Stream(request, state, prediction, faults).run()


async def _unused() -> web.Response:
    return web.Response()


class _Stream:
    """One connection to the stream of a prediction."""

    def __init__(
        self,
        request: web.Request,
        state: EmulatorState,
        prediction: Prediction,
        faults: Sequence[Fault],
    ) -> None:
        self._request = request
        self._state = state
        self._prediction = prediction
        self._faults = frozenset(fault.action for fault in faults)
        self._response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        self._events = 0

    async def run(self) -> web.StreamResponse:
        """Send events until the prediction has ended, the stream is idle, or a fault breaks it."""
        await self._response.prepare(self._request)
        sent = _resumed_at(self._request.headers.get("Last-Event-ID", ""))
        if StreamFault.REPEAT in self._faults:
            sent = 0
        idle_from_s = self._state.clock.now_s()
        while not self._is_closed:
            now_s = self._state.clock.now_s()
            moment = self._prediction.at(now_s)
            chunks = _chunks(self._prediction, moment)
            for number in range(sent, len(chunks)):
                if not await self._send_chunk(number, chunks[number], moment):
                    return self._response
            if len(chunks) > sent:
                sent, idle_from_s = len(chunks), now_s
            if moment.is_over:
                await self._end(moment)
                break
            if now_s - idle_from_s >= _IDLE_S:
                await self._response.write(_IDLE_COMMENT)
                break
            await self._wait(moment, now_s, idle_from_s + _IDLE_S)
        return self._response

    @property
    def _is_closed(self) -> bool:
        return self._state.timer.is_closed or is_disconnected(self._request)

    async def _send_chunk(self, number: int, chunk: str, moment: Moment) -> bool:
        """Send the event of a chunk, or what a fault makes of it; returns whether to go on."""
        at_s = _chunk_s(self._prediction, moment, number) or self._prediction.output_at_s
        data = _event("output", chunk, f"{int(at_s * 1000)}:{number}")
        if number == _FAULTY_EVENT:
            if StreamFault.LOST in self._faults:
                return True
            if StreamFault.GARBAGE in self._faults:
                data = _GARBAGE
            if StreamFault.ERROR in self._faults:
                data = _event("error", json.dumps({"detail": "the stream failed"}))
        if StreamFault.CUT in self._faults and self._events == _EVENTS_BEFORE_CUT:
            await self._response.write(data[: len(data) // 2])
            if self._request.transport is not None:
                self._request.transport.close()
            return False
        self._events += 1
        await self._write(data)
        return not self._is_closed

    async def _write(self, data: bytes) -> None:
        if StreamFault.SLOW not in self._faults:
            await self._response.write(data)
            return
        for start in range(0, len(data), _SLOW_BYTES):
            if self._is_closed:
                return
            await self._response.write(data[start : start + _SLOW_BYTES])
            await self._state.timer.sleep(_SLOW_PAUSE_S)

    async def _end(self, moment: Moment) -> None:
        if StreamFault.ENDLESS not in self._faults:
            await self._write(_last_events(self._prediction, moment))
            return
        while not self._is_closed:
            # The transport does not notify of a disconnect, so it is polled.
            await self._state.timer.wait_for_change(self._state.clock.now_s() + _SLOW_PAUSE_S)

    async def _wait(self, moment: Moment, now_s: float, idle_s: float) -> None:
        times_s = [idle_s]
        if (next_s := self._prediction.next_change_s(now_s)) is not None:
            times_s.append(next_s)
        number = written_chunks(self._prediction, moment)
        chunk_s = _chunk_s(self._prediction, moment, number)
        if chunk_s is not None and chunk_s > now_s:
            times_s.append(chunk_s)
        await self._state.timer.wait_for_change(min(times_s))


def _resumed_at(last_event_id: str) -> int:
    _, _, number = last_event_id.partition(":")
    return int(number) + 1 if number.isdecimal() else 0


def _chunk_s(prediction: Prediction, moment: Moment, number: int) -> float | None:
    """When a chunk of a text is written; None before it starts, and for other outputs."""
    if not is_written(prediction) or moment.started_at_s is None:
        return None
    fraction = (number + 1) / len(text_chunks(prediction))
    return moment.started_at_s + fraction * prediction.schedule.run_s


def _chunks(prediction: Prediction, moment: Moment) -> Sequence[str]:
    if is_written(prediction):
        return text_chunks(prediction)[: written_chunks(prediction, moment)]
    output: JSON = output_at(prediction, moment, origin=prediction.origin)
    if output is None:
        return ()
    parts = output if isinstance(output, list) else [output]
    return [part if isinstance(part, str) else json.dumps(part) for part in parts]


def _last_events(prediction: Prediction, moment: Moment) -> bytes:
    if moment.status is Status.SUCCEEDED:
        return _event("done", "{}")
    if moment.status is Status.CANCELED:
        return _event("done", '{"reason": "canceled"}')
    error = _event("error", json.dumps({"detail": prediction.schedule.error}))
    return error + _event("done", '{"reason": "error"}')


def _event(name: str, data: str, event_id: str | None = None) -> bytes:
    lines = [f"event: {name}"]
    if event_id is not None:
        lines.append(f"id: {event_id}")
    lines += [f"data: {line}" for line in data.split("\n")]
    return ("\n".join(lines) + "\n\n").encode()
