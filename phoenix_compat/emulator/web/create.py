"""POST …/predictions: validates a create, makes the prediction, and waits for it on request."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from enum import Enum

from aiohttp import web

from phoenix_compat.emulator.faults.fault import HttpAction, Stage
from phoenix_compat.emulator.faults.fault_plan import FaultSpec, fault_specs_in_text
from phoenix_compat.emulator.inputs.source_files import UnreadableInputError
from phoenix_compat.emulator.json_type import JSON, JsonObject
from phoenix_compat.emulator.predictions.catalog import (
    deployed_model,
    model_of_version,
    official_model,
)
from phoenix_compat.emulator.predictions.create_body import CreateBody, read_create_body
from phoenix_compat.emulator.predictions.model import Model
from phoenix_compat.emulator.predictions.model_input import check_input
from phoenix_compat.emulator.predictions.prediction import Prediction
from phoenix_compat.emulator.predictions.prediction_document import answer_at_output
from phoenix_compat.emulator.predictions.request_header import cancel_after_seconds, wait_seconds
from phoenix_compat.emulator.problem import invalid_input, version_disabled
from phoenix_compat.emulator.schedule import OutputKind, Schedule, Status
from phoenix_compat.emulator.state import EmulatorState, ValidatedCreate
from phoenix_compat.emulator.web.fault_response import respond_with_fault
from phoenix_compat.emulator.web.request_context import (
    fault_specs_of,
    json_body,
    origin_of,
    state_of,
)
from phoenix_compat.emulator.web.webhook_sender import WEBHOOK_SENDER


class _Path(Enum):
    VERSION = "the body's version names the model"
    MODEL = "the path names an official model"
    DEPLOYMENT = "the path names a deployment"


async def create_by_version(request: web.Request) -> web.StreamResponse:
    """POST /predictions."""
    return await _create(request, _Path.VERSION)


async def create_by_model(request: web.Request) -> web.StreamResponse:
    """POST /models/{owner}/{name}/predictions."""
    return await _create(request, _Path.MODEL)


async def create_by_deployment(request: web.Request) -> web.StreamResponse:
    """POST /deployments/{owner}/{name}/predictions."""
    return await _create(request, _Path.DEPLOYMENT)


async def _create(request: web.Request, path: _Path) -> web.StreamResponse:
    state = state_of(request)
    state.counts["create_requests"] += 1
    document = await json_body(request)
    fault_specs = (*fault_specs_of(request), *_fault_specs_in_body(document))
    fault = state.faults.pick(Stage.CREATE, fault_specs, _scope(document))

    async def respond() -> web.Response:
        state.create_limit.take(state.clock.now_s())
        return await _carry_out(request, _validated_create(request, document, path, fault_specs))

    if fault is not None and isinstance(fault.action, HttpAction):
        return await respond_with_fault(request, fault.action, respond)
    return await respond()


async def _carry_out(request: web.Request, create: ValidatedCreate) -> web.Response:
    state = state_of(request)
    wait_s = wait_seconds(request.headers.get("Prefer"))
    schedule, inline = state.plan(create), None
    schedule, subject = await _with_files(state, create, schedule)
    if schedule.output is OutputKind.DATA_URL:
        inline = await asyncio.to_thread(_data_url, str(create.body.input.get("prompt", "")))
    # No await between the next two: a client that disconnects must not cancel the webhooks.
    prediction = state.create(create, schedule, inline, subject)
    request.config_dict[WEBHOOK_SENDER].watch(prediction)
    await state.persistence.flush()
    headers = {"Location": f"{prediction.origin}/v1/predictions/{prediction.id}"}
    if wait_s is None:
        return web.json_response(state.document(prediction), status=201, headers=headers)
    headers["Preference-Applied"] = f"wait={wait_s}"
    answer, is_done = await _wait(state, prediction, wait_s)
    return web.json_response(answer, status=201 if is_done else 202, headers=headers)


async def _with_files(
    state: EmulatorState, create: ValidatedCreate, schedule: Schedule
) -> tuple[Schedule, str | None]:
    """The schedule, which fails if a file cannot be read, and what the files are."""
    if not create.model.files(create.body.input):
        return schedule, None
    state.uploads.forget_expired(state.clock.now_s())
    try:
        return schedule, await asyncio.to_thread(_subject, create, state)
    except UnreadableInputError as error:
        if schedule.ending is Status.SUCCEEDED:
            schedule = replace(
                schedule, ending=Status.FAILED, error=str(error), output=OutputKind.NULL
            )
        return schedule, None


def _subject(create: ValidatedCreate, state: EmulatorState) -> str | None:
    from phoenix_compat.emulator.inputs.subject import subject_of  # noqa: PLC0415 - Pillow

    return subject_of(create.model, create.body.input, state.sources)


def _data_url(prompt: str) -> str:
    from phoenix_compat.emulator.pictures.picture import data_url  # noqa: PLC0415 - Pillow

    return data_url(prompt)


async def _wait(
    state: EmulatorState, prediction: Prediction, wait_s: int
) -> tuple[JsonObject, bool]:
    """Wait until the prediction has output or has ended, at most `wait_s` seconds.

    Returns:
        The response body, and whether the wait was successful.
    """
    until_s = state.clock.now_s() + wait_s
    while not state.timer.is_closed:
        now_s = state.clock.now_s()
        moment = prediction.at(now_s)
        if moment.has_output:
            # As of the moment when the output appeared, even if this task woke up later.
            document = state.document(prediction, at_s=prediction.output_at_s)
            return answer_at_output(document), True
        if moment.is_over:
            return state.document(prediction), True
        if now_s >= until_s:
            break
        await state.timer.wait_for_change(min(until_s, prediction.next_change_s(now_s) or until_s))
    return state.document(prediction), False


def _validated_create(
    request: web.Request, document: JSON, path: _Path, fault_specs: tuple[FaultSpec, ...]
) -> ValidatedCreate:
    model, version, body = _model_and_body(request, document, path)
    if model.is_disabled:
        raise version_disabled()
    if errors := check_input(model.fields, body.input, is_closed=model.is_closed):
        raise invalid_input(errors)
    owner_and_name = f"{request.match_info.get('owner')}/{request.match_info.get('name')}"
    return ValidatedCreate(
        model=model,
        version=version,
        body=body,
        origin=origin_of(request),
        fault_specs=fault_specs,
        cancel_after_s=cancel_after_seconds(request.headers.get("Cancel-After")),
        deployment=owner_and_name if path is _Path.DEPLOYMENT else None,
    )


def _model_and_body(
    request: web.Request, document: JSON, path: _Path
) -> tuple[Model, str, CreateBody]:
    if path is _Path.VERSION:
        body = read_create_body(document, has_version=True)
        return (*model_of_version(body.version or ""), body)
    # The model is looked up first: an unknown one gives 404 whatever the body is.
    if path is _Path.DEPLOYMENT:
        model = deployed_model(request.match_info["name"])
    else:
        model = official_model(request.match_info["owner"], request.match_info["name"])
    return model, "hidden", read_create_body(document, has_version=False)


def _fault_specs_in_body(document: JSON) -> tuple[FaultSpec, ...]:
    model_input = document.get("input") if isinstance(document, dict) else None
    if not isinstance(model_input, dict):
        return ()
    texts = [
        value for value in model_input.values() if isinstance(value, str) and "#fault:" in value
    ]
    return tuple(spec for text in texts for spec in fault_specs_in_text(text))


def _scope(document: JSON) -> str:
    model_input = document.get("input") if isinstance(document, dict) else None
    return str(model_input.get("prompt", "")) if isinstance(model_input, dict) else ""
