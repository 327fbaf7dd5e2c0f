"""Serves the routes under /control: arm faults, fetch records and verdicts.

Errors are RFC 9457 problems that name the field. `control_guard` decides who may use the routes. A
session is called `lane` in queries and in JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from phoenix_compat.bounded import TOO_DEEP, is_too_deep
from phoenix_compat.conformance.control_guard import ControlGuard, Handler, guarded, problem
from phoenix_compat.conformance.faults.app import ACTIONS, APP, action_of
from phoenix_compat.conformance.faults.fault_session import (
    DEFAULT_CLIENT,
    DEFAULT_SESSION,
    FaultSession,
    FaultSessions,
    TooManyError,
)
from phoenix_compat.conformance.faults.plan import Fault, FaultError
from phoenix_compat.conformance.faults.report import Report, judge_client
from phoenix_compat.conformance.faults.scenarios import SCENARIOS
from phoenix_compat.conformance.faults.table import FAULTS

_FAULT_SESSIONS: Final = web.AppKey("fault_sessions", FaultSessions)
_MAX_NAME_CHARS: Final = 64


def add_routes(app: web.Application, fault_sessions: FaultSessions, guard: ControlGuard) -> None:
    """Add the control routes; the guard decides which requests may use them."""
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
            "name": fault_type.name,
            "does": fault_type.does,
            "value": fault_type.value.value,
            "default": fault_type.default,
            "on": [moment.value for moment in fault_type.moments],
            "times": fault_type.times,
            "after": fault_type.delays,
            "by_topic": fault_type.is_for_topics,
            "by_control": fault_type.is_for_connections,
        }
        for fault_type in FAULTS.types.values()
    ]
    armed = [
        {"client": session.client, "lane": session.name, "topic": topic, "fault": fault.name}
        for session in request.app[_FAULT_SESSIONS].all_sessions()
        for topic, fault in session.armed.items()
    ]
    return web.json_response({"faults": table, "armed": armed})


async def arm_fault(request: web.Request) -> web.Response:
    """POST /control/faults {"fault", "client"?, "lane"?, "topic"?, "value"?, "after"?, …}.

    With a topic, the fault strikes that topic from now on. Without one, it strikes every open
    connection of the session, or the next ones.
    """
    document = await _object(request)
    session = _session(request, document)
    topic = document.pop("topic", None)
    fault = FAULTS.from_json(document)
    if topic is not None and (not isinstance(topic, str) or not topic):
        raise FaultError("topic", "'topic' must be a string that is not empty")
    fault.check_target(has_topic=topic is not None)
    if topic is None:
        session.strike(fault)
    else:
        session.arm(topic, fault)
    return web.json_response(
        {
            "client": session.client,
            "lane": session.name,
            "topic": topic,
            "fault": _fault_to_json(fault),
        },
        status=201,
    )


async def disarm_faults(request: web.Request) -> web.Response:
    """DELETE /control/faults[?client=]: disarm all faults; those that struck stay in effect."""
    client = request.query.get("client")
    for session in request.app[_FAULT_SESSIONS].all_sessions():
        if client in {None, session.client}:
            session.disarm()
    return web.Response(status=204)


async def list_scenarios(request: web.Request) -> web.Response:
    """GET /control/scenarios[?client=]: each scenario, with its URL, topic and expectation."""
    client = _name(request.query.get("client", DEFAULT_CLIENT), "client")
    base = f"ws://{request.host}/faults/{client}"
    scenarios = [
        {
            "id": scenario.id,
            "level": scenario.level.value,
            "url": f"{base}/{scenario.session}/socket",
            "client": client,
            "lane": scenario.session,
            "topic": scenario.topic,
            "fault": FAULTS.from_topic(scenario.topic).type.does,
            "action": action_of(FAULTS.from_topic(scenario.topic)),
            "wants": scenario.wants,
            "why": scenario.why,
            "phoenix_js": scenario.phoenix_js,
        }
        for scenario in SCENARIOS
    ]
    return web.json_response({"app": APP, "actions": ACTIONS, "scenarios": scenarios})


async def list_clients(request: web.Request) -> web.Response:
    """GET /control/clients: the clients that have connected, and their sessions."""
    fault_sessions = request.app[_FAULT_SESSIONS]
    return web.json_response(
        {
            name: [session.name for session in fault_sessions.sessions_of(name)]
            for name in fault_sessions.clients
        }
    )


async def get_record(request: web.Request) -> web.Response:
    """GET /control/record[?client=&lane=]: the record of a session."""
    session = _session(request, dict(request.query))
    entries = [entry.to_json() for entry in session.record.entries]
    return web.json_response({"entries": entries, "lost": session.record.lost})


async def forget_record(request: web.Request) -> web.Response:
    """DELETE /control/record[?client=]: reset the client's connections and delete its record."""
    request.app[_FAULT_SESSIONS].forget(request.query.get("client"))
    return web.Response(status=204)


async def note_heard(request: web.Request) -> web.Response:
    """POST /control/heard {"payload", "client"?, "lane"?, "topic"?}: what the app received."""
    document = await _object(request)
    payload = document.get("payload")
    if not isinstance(payload, dict):
        raise FaultError(
            "payload", "'payload' must be an object, like the payload of the push `heard`"
        )
    _session(request, document).heard(payload, str(document.get("topic", "")))
    return web.Response(status=204)


async def get_report(request: web.Request) -> web.Response:
    """GET /control/report.json[?client=&final=1]: the verdicts."""
    return web.json_response(_report(request).to_json())


async def get_report_page(request: web.Request) -> web.Response:
    """GET /control/report.html[?client=&final=1]: the verdicts as one HTML page."""
    return web.Response(text=_report(request).to_html(), content_type="text/html")


def _report(request: web.Request) -> Report:
    client = _name(request.query.get("client", DEFAULT_CLIENT), "client")
    is_final = request.query.get("final", "") in {"1", "true"}
    return judge_client(client, request.app[_FAULT_SESSIONS].sessions_of(client), is_final=is_final)


def _session(request: web.Request, fields: dict[str, Any]) -> FaultSession:
    """The session that the fields name; removes those fields."""
    client = _name(fields.pop("client", DEFAULT_CLIENT), "client")
    name = _name(fields.pop("lane", DEFAULT_SESSION), "lane")
    return request.app[_FAULT_SESSIONS].session(client, name)


def _name(value: Any, field: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= _MAX_NAME_CHARS or "/" in value:
        raise FaultError(field, f"{field!r} must be 1 to {_MAX_NAME_CHARS} characters without '/'")
    return value


def _fault_to_json(fault: Fault) -> Mapping[str, Any]:
    return {
        "name": fault.name,
        "does": fault.type.does,
        "value": fault.value,
        "after_s": fault.after_s,
        "times": fault.times,
        "on": fault.moment,
    }


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        document = json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise FaultError("body", f"the body is not valid JSON: {error}") from error
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
