"""GET /stream/{id}: the output of a prediction as server-sent events."""

from __future__ import annotations

import json

from aiohttp import web

from phoenix_compat.emulator.json_type import JSON
from phoenix_compat.emulator.predictions.prediction import Moment, Prediction
from phoenix_compat.emulator.predictions.run_output import output_at
from phoenix_compat.emulator.schedule import Status
from phoenix_compat.emulator.state import EmulatorState
from phoenix_compat.emulator.web.fault_response import is_disconnected
from phoenix_compat.emulator.web.request_context import prediction_of, state_of

_IDLE_S = 30.0
_IDLE_COMMENT = b":408: 408 Request Timeout\n\n"


async def stream_prediction(request: web.Request) -> web.StreamResponse:
    """Stream the events `output` (one per chunk), `error` and `done`, after `Last-Event-ID`."""
    state, prediction = state_of(request), prediction_of(request)
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
    )
    await response.prepare(request)
    sent = _resumed_at(request.headers.get("Last-Event-ID", ""))
    idle_from_s = state.clock.now_s()
    while not state.timer.is_closed and not is_disconnected(request):
        now_s = state.clock.now_s()
        moment = prediction.at(now_s)
        chunks = _chunks(prediction, moment)
        for number in range(sent, len(chunks)):
            await response.write(_event("output", chunks[number], f"{int(now_s * 1000)}:{number}"))
        if len(chunks) > sent:
            sent, idle_from_s = len(chunks), now_s
        if moment.is_over:
            await response.write(_last_events(prediction, moment))
            break
        if now_s - idle_from_s >= _IDLE_S:
            await response.write(_IDLE_COMMENT)
            break
        await _wait(state, prediction, now_s, idle_from_s + _IDLE_S)
    return response


async def _wait(state: EmulatorState, prediction: Prediction, now_s: float, idle_s: float) -> None:
    next_s = prediction.next_change_s(now_s)
    await state.timer.wait_for_change(idle_s if next_s is None else min(next_s, idle_s))


def _resumed_at(last_event_id: str) -> int:
    _, _, number = last_event_id.partition(":")
    return int(number) + 1 if number.isdecimal() else 0


def _chunks(prediction: Prediction, moment: Moment) -> list[str]:
    output: JSON = output_at(prediction, moment, origin=prediction.origin)
    if output is None:
        return []
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
