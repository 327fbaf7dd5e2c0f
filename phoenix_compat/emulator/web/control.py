"""The control routes under /__emu: arm faults, move the clock, inspect the state.

`access` decides who may use them.
"""

from __future__ import annotations

from dataclasses import asdict

from aiohttp import web

from phoenix_compat.emulator.clock import timestamp
from phoenix_compat.emulator.faults.fault_table import FAULTS
from phoenix_compat.emulator.json_type import JSON, JsonObject
from phoenix_compat.emulator.problem import invalid_request
from phoenix_compat.emulator.state import EmulatorState
from phoenix_compat.emulator.web.request_context import json_body, prediction_of, state_of


async def list_faults(request: web.Request) -> web.Response:
    """GET /__emu/faults: the table of faults, the armed ones, and how often each has applied."""
    state = state_of(request)
    table = [
        {"name": fault.name, "stage": fault.stage.value, "description": fault.description}
        for fault in FAULTS.values()
    ]
    return web.json_response(
        {"faults": table, "armed": _armed(state), "struck": dict(state.faults.totals)}
    )


async def arm_fault(request: web.Request) -> web.Response:
    """POST /__emu/faults {"name", "times"?, "rate"?}: arm a fault for all requests."""
    document, state = await _object(request), state_of(request)
    name, times = document.get("name"), document.get("times")
    if not isinstance(name, str) or not (times is None or type(times) is int):
        raise invalid_request('expected {"name": "429", "times": 2, "rate": 1.0}')
    state.faults.arm(name, times, rate=_number(document.get("rate", 1.0), "rate"))
    return web.json_response({"armed": _armed(state)}, status=201)


async def clear_faults(request: web.Request) -> web.Response:
    """DELETE /__emu/faults[?name]: disarm one fault, or all."""
    state = state_of(request)
    state.faults.clear(request.query.get("name"))
    return web.json_response({"armed": _armed(state)})


async def get_clock(request: web.Request) -> web.Response:
    """GET /__emu/clock."""
    return web.json_response(_clock(state_of(request)))


async def move_clock(request: web.Request) -> web.Response:
    """POST /__emu/clock {"advance_s"?, "scale"?}: advance the clock, or change its speed."""
    document, clock = await _object(request), state_of(request).clock
    try:
        if "advance_s" in document:
            clock.advance(_number(document["advance_s"], "advance_s"))
        if "scale" in document:
            clock.scale(_number(document["scale"], "scale"))
    except ValueError as error:
        raise invalid_request(str(error)) from error
    return web.json_response(_clock(state_of(request)))


async def dump_state(request: web.Request) -> web.Response:
    """GET /__emu/state: counts, clock, armed faults, all predictions and webhook deliveries."""
    state = state_of(request)
    return web.json_response(
        state.summary()
        | {
            "clock": _clock(state),
            "armed": _armed(state),
            "results": [state.document(prediction) for prediction in state.predictions],
            "deliveries": [asdict(delivery) for delivery in state.deliveries],
        }
    )


async def get_counts(request: web.Request) -> web.Response:
    """GET /__emu/counts: how many predictions, requests and faults there were."""
    return web.json_response(state_of(request).summary())


async def show_prediction(request: web.Request) -> web.Response:
    """GET /__emu/predictions/{id}: the target of `urls.web`."""
    return web.json_response(state_of(request).document(prediction_of(request)))


async def forget(request: web.Request) -> web.Response:
    """DELETE /__emu/predictions[/{id}]: delete one or all predictions; the counts stay."""
    state = state_of(request)
    forgotten = state.forget(request.match_info.get("id"))
    await state.persistence.flush()
    return web.json_response({"forgotten": forgotten})


ROUTES = [
    web.get("/__emu/faults", list_faults),
    web.post("/__emu/faults", arm_fault),
    web.delete("/__emu/faults", clear_faults),
    web.get("/__emu/clock", get_clock),
    web.post("/__emu/clock", move_clock),
    web.get("/__emu/state", dump_state),
    web.get("/__emu/counts", get_counts),
    web.get("/__emu/predictions/{id}", show_prediction),
    web.delete("/__emu/predictions", forget),
    web.delete("/__emu/predictions/{id}", forget),
]


async def _object(request: web.Request) -> JsonObject:
    document = await json_body(request)
    if not isinstance(document, dict):
        raise invalid_request("expected a JSON object")
    return document


def _number(value: JSON, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid_request(f"{name}: must be a number")
    return float(value)


def _clock(state: EmulatorState) -> JsonObject:
    now_s = state.clock.now_s()
    return {"now": timestamp(now_s), "now_s": now_s, "scale": state.clock.factor}


def _armed(state: EmulatorState) -> list[JsonObject]:
    return [
        {"name": armed.fault.name, "times_left": armed.times_left, "rate": armed.rate}
        for armed in state.faults.armed
    ]
