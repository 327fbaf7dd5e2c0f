"""What handlers read from a request: state, origin, JSON body and requested faults."""

from __future__ import annotations

import json

from aiohttp import web

from phoenix_compat.bounded import TOO_DEEP, is_too_deep
from phoenix_compat.emulator.faults.fault_plan import FaultSpec, fault_specs_in_header
from phoenix_compat.emulator.json_type import JSON
from phoenix_compat.emulator.predictions.prediction import Prediction
from phoenix_compat.emulator.problem import ProblemError, not_found, too_large
from phoenix_compat.emulator.state import EmulatorState

STATE: web.AppKey[EmulatorState] = web.AppKey("state", EmulatorState)


def state_of(request: web.Request) -> EmulatorState:
    """The state of the emulator that received this request."""
    return request.config_dict[STATE]


def origin_of(request: web.Request) -> str:
    """`http://host:port` as the client wrote it, so that it can use the URLs in responses."""
    return f"{request.scheme}://{request.host}"


def fault_specs_of(request: web.Request) -> tuple[FaultSpec, ...]:
    """The faults that `X-Emu-Fault` asks for."""
    return fault_specs_in_header(request.headers.get("X-Emu-Fault", ""))


def prediction_of(request: web.Request) -> Prediction:
    """The prediction that the path names. Raises ProblemError (404) when there is none."""
    prediction = state_of(request).predictions.find(request.match_info["id"])
    if prediction is None:
        raise not_found()
    return prediction


async def json_body(request: web.Request) -> JSON:
    """The body as JSON.

    Raises:
        ProblemError: 413 above the size limit, 400 when it is not valid JSON.
    """
    try:
        text = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise too_large(state_of(request).settings.max_body_bytes) from error
    try:
        document = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ProblemError(
            400, "The request body is not valid JSON", title="Bad request"
        ) from error
    if is_too_deep(document):
        raise ProblemError(400, f"The request body {TOO_DEEP}", title="Bad request")
    return document


def _refuse(constant: str) -> JSON:
    # Python's decoder accepts NaN and Infinity, which are not valid JSON.
    raise ValueError(f"{constant} is not JSON")
