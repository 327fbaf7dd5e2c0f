"""The routes under /control: arm faults, fetch records and verdicts.

Errors are RFC 9457 problems that name the field. Nothing here asks who is calling: the fault server
is a tool for tests and listens on the loopback unless told otherwise. Web pages from elsewhere are
refused (see `control_guard`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from phoenix_compat.bounded import TOO_DEEP, is_too_deep
from phoenix_compat.conformance.control_guard import Handler, guarded, problem
from phoenix_compat.conformance.faults.fault_session import (
    DEFAULT_CLIENT,
    DEFAULT_LANE,
    FaultSession,
    FaultSessions,
    TooManyError,
)
from phoenix_compat.conformance.faults.plan import Fault, FaultError
from phoenix_compat.conformance.faults.report import Report, judge_client
from phoenix_compat.conformance.faults.scenarios import APP, SCENARIOS
from phoenix_compat.conformance.faults.table import FAULTS
from phoenix_compat.protocol.browser import PageGuard

_FAULT_SESSIONS: Final = web.AppKey("fault_playground", FaultSessions)
_MAX_NAME: Final = 64


def add_routes(app: web.Application, fault_sessions: FaultSessions, guard: PageGuard) -> None:
    """Add the control routes of a fault sessions, for those that the guard lets through."""
    app[_FAULT_SESSIONS] = fault_sessions
    routes: tuple[tuple[str, str, Handler], ...] = (
        ("GET", "/control/faults", list_faults),
        ("POST", "/control/faults", arm_fault),
        ("DELETE", "/control/faults", disarm_faults),
        ("GET", "/control/scenarios", list_scenarios),
        ("GET", "/control/clients", list_clients),
        ("GET", "/control/record", get_record),
        ("DELETE", "/control/record", forget_record),
        ("POST", "/control/heard", note_heard),
        ("GET", "/control/report", get_report),
        ("GET", "/control/report.json", get_report),
        ("GET", "/control/report.html", get_report_page),
    )
    for method, path, handler in routes:
        app.router.add_route(method, path, guarded(_with_problems(handler), guard))


async def list_faults(request: web.Request) -> web.Response:
    """GET /control/faults: every fault, and what is armed."""
    table = [
        {
            "name": kind.name,
            "does": kind.does,
            "value": kind.value.value,
            "default": kind.default,
            "on": [moment.value for moment in kind.moments],
            "times": kind.times,
            "after": kind.delays,
            "by_topic": kind.is_for_topics,
            "by_control": kind.is_for_connections,
        }
        for kind in FAULTS.kinds.values()
    ]
    armed = [
        {"client": lane.client, "lane": lane.name, "topic": topic, "fault": fault.name}
        for lane in request.app[_FAULT_SESSIONS].all_lanes()
        for topic, fault in lane.armed.items()
    ]
    return web.json_response({"faults": table, "armed": armed})


async def arm_fault(request: web.Request) -> web.Response:
    """POST /control/faults {"fault", "client"?, "lane"?, "topic"?}, or its options one by one.

    With a topic the fault strikes that topic from now on; without one it strikes every connection
    of the lane at once, or the next ones.
    """
    document = await _object(request)
    lane = _lane(request, document)
    topic = document.pop("topic", None)
    fault = FAULTS.from_json(document)
    if topic is not None:
        if not isinstance(topic, str) or not topic:
            raise FaultError("topic", "'topic' must be a text")
        if not fault.kind.is_for_topics:
            raise FaultError("topic", f"fault {fault.name!r} strikes connections, not a topic")
        lane.arm(topic, fault)
    elif not fault.kind.is_for_connections:
        raise FaultError("topic", f"fault {fault.name!r} strikes a topic: say which")
    else:
        lane.strike(fault)
    return web.json_response(
        {"client": lane.client, "lane": lane.name, "topic": topic, "fault": _described(fault)},
        status=201,
    )


async def disarm_faults(request: web.Request) -> web.Response:
    """DELETE /control/faults[?client=]: forget what is armed; what struck has struck."""
    client = request.query.get("client")
    for lane in request.app[_FAULT_SESSIONS].all_lanes():
        if client in {None, lane.client}:
            lane.disarm()
    return web.Response(status=204)


async def list_scenarios(request: web.Request) -> web.Response:
    """GET /control/scenarios[?client=]: what to do, scenario by scenario, and what is wanted."""
    client = _name(request.query.get("client", DEFAULT_CLIENT), "client")
    base = f"ws://{request.host}/faults/{client}"
    scenarios = [
        {
            "id": scenario.id,
            "level": scenario.level.value,
            "url": f"{base}/{scenario.lane}/socket",
            "client": client,
            "lane": scenario.lane,
            "topic": scenario.topic,
            "fault": FAULTS.from_topic(scenario.topic).kind.does,
            "wants": scenario.wants,
            "why": scenario.why,
            "phoenix_js": scenario.phoenix_js,
        }
        for scenario in SCENARIOS
    ]
    return web.json_response({"app": APP, "scenarios": scenarios})


async def list_clients(request: web.Request) -> web.Response:
    """GET /control/clients: who has been here, and in which lanes."""
    fault_sessions = request.app[_FAULT_SESSIONS]
    return web.json_response(
        {
            name: [lane.name for lane in fault_sessions.lanes_of(name)]
            for name in fault_sessions.clients
        }
    )


async def get_record(request: web.Request) -> web.Response:
    """GET /control/record[?client=&lane=]: everything that was recorded in a lane."""
    lane = _lane(request, dict(request.query))
    entries = [entry.to_json() for entry in lane.record.entries]
    return web.json_response({"entries": entries, "lost": lane.record.lost})


async def forget_record(request: web.Request) -> web.Response:
    """DELETE /control/record[?client=]: reset its connections, and forget the client."""
    request.app[_FAULT_SESSIONS].forget(request.query.get("client"))
    return web.Response(status=204)


async def note_heard(request: web.Request) -> web.Response:
    """POST /control/heard {"payload", "client"?, "lane"?, "topic"?}: what the app heard."""
    document = await _object(request)
    payload = document.get("payload")
    if not isinstance(payload, dict):
        raise FaultError("payload", "'payload' must be an object, as the push `heard` carries")
    _lane(request, document).heard(payload, str(document.get("topic", "")))
    return web.Response(status=204)


async def get_report(request: web.Request) -> web.Response:
    """GET /control/report.json[?client=&final=1]: the verdicts."""
    return web.json_response(_report(request).to_json())


async def get_report_page(request: web.Request) -> web.Response:
    """GET /control/report.html[?client=&final=1]: the verdicts as one page."""
    return web.Response(text=_report(request).to_html(), content_type="text/html")


def _report(request: web.Request) -> Report:
    client = _name(request.query.get("client", DEFAULT_CLIENT), "client")
    is_final = request.query.get("final", "") in {"1", "true"}
    return judge_client(client, request.app[_FAULT_SESSIONS].lanes_of(client), is_final=is_final)


def _lane(request: web.Request, fields: dict[str, Any]) -> FaultSession:
    """The lane that the fields name; takes them out."""
    client = _name(fields.pop("client", DEFAULT_CLIENT), "client")
    name = _name(fields.pop("lane", DEFAULT_LANE), "lane")
    return request.app[_FAULT_SESSIONS].lane(client, name)


def _name(value: Any, field: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= _MAX_NAME or "/" in value:
        raise FaultError(field, f"{field!r} must be a name of 1 to {_MAX_NAME} characters")
    return value


def _described(fault: Fault) -> Mapping[str, Any]:
    return {
        "name": fault.name,
        "does": fault.kind.does,
        "value": fault.value,
        "after_s": fault.after_s,
        "times": fault.times,
        "on": fault.moment,
    }


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        document = json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise FaultError("body", f"the body is not JSON: {error}") from error
    if is_too_deep(document):
        raise FaultError("body", f"the body {TOO_DEEP}")
    if not isinstance(document, dict):
        raise FaultError("body", 'the body must be an object such as {"fault": "drop"}')
    return document


def _with_problems(handler: Handler) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except FaultError as error:
            return problem(422, "Invalid request", str(error), field=error.field)
        except TooManyError as error:
            return problem(503, "Too many", str(error))

    return handle
