"""Handlers of GET /predictions, GET /predictions/{id} and POST /predictions/{id}/cancel."""

from __future__ import annotations

from aiohttp import web

from phoenix_compat.emulator.clock import parse_timestamp
from phoenix_compat.emulator.faults.fault import HttpAction, Stage
from phoenix_compat.emulator.problem import invalid_request
from phoenix_compat.emulator.web.fault_response import Respond, respond_with_fault
from phoenix_compat.emulator.web.request_context import (
    fault_specs_of,
    origin_of,
    prediction_of,
    state_of,
)


async def get_prediction(request: web.Request) -> web.StreamResponse:
    """GET /predictions/{id}."""
    state_of(request).counts["polls"] += 1

    async def respond() -> web.Response:
        prediction = prediction_of(request)
        return web.json_response(state_of(request).document(prediction, origin_of(request)))

    return await _answer(request, Stage.POLL, respond)


async def cancel_prediction(request: web.Request) -> web.StreamResponse:
    """POST /predictions/{id}/cancel: cancels it; a repeated cancel gives the same response."""
    state_of(request).counts["cancels"] += 1

    async def respond() -> web.Response:
        prediction = prediction_of(request)
        state_of(request).cancel(prediction)
        await state_of(request).persistence.flush()
        return web.json_response(state_of(request).document(prediction, origin_of(request)))

    return await _answer(request, Stage.CANCEL, respond)


async def list_predictions(request: web.Request) -> web.StreamResponse:
    """GET /predictions?created_after&created_before&source&cursor."""
    state_of(request).counts["lists"] += 1

    async def respond() -> web.Response:
        return _list(request)

    return await _answer(request, Stage.LIST, respond)


async def _answer(request: web.Request, stage: Stage, respond: Respond) -> web.StreamResponse:
    state = state_of(request)
    prediction_id = request.match_info.get("id", "")
    prediction = state.predictions.find(prediction_id)
    fault_specs = (*fault_specs_of(request), *(prediction.fault_specs if prediction else ()))
    fault = state.faults.pick(stage, fault_specs, prediction_id)
    if fault is not None and isinstance(fault.action, HttpAction):
        return await respond_with_fault(request, fault.action, respond)
    return await respond()


def _list(request: web.Request) -> web.Response:
    state, origin = state_of(request), origin_of(request)
    source = request.query.get("source")
    if source not in (None, "web"):
        raise invalid_request('source: must be "web"')
    if source == "web":
        # All predictions of the emulator come from the API.
        return web.json_response({"previous": None, "next": None, "results": []})
    page = state.predictions.page(
        state.clock.now_s(),
        cursor=request.query.get("cursor"),
        created_after_s=_time(request, "created_after"),
        created_before_s=_time(request, "created_before"),
    )
    return web.json_response(
        {
            "previous": _page_url(request, page.previous_cursor),
            "next": _page_url(request, page.next_cursor),
            "results": [state.document(prediction, origin) for prediction in page.predictions],
        }
    )


def _time(request: web.Request, name: str) -> float | None:
    text = request.query.get(name)
    if text is None:
        return None
    try:
        return parse_timestamp(text)
    except ValueError as error:
        raise invalid_request(f"{name}: {text!r} is not an ISO 8601 time") from error


def _page_url(request: web.Request, cursor: str | None) -> str | None:
    if cursor is None:
        return None
    return str(request.url.update_query(cursor=cursor))
