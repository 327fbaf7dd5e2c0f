"""API keys and limits, under `/api/console`.

GET  /api/console/keys             all keys, without the keys themselves
POST /api/console/keys             {"name", "scopes"}: create one; the answer has it, once
POST /api/console/keys/revoke      {"name"}: revoke one, and close its sockets
GET  /api/console/limits?text=     the caps, and what is used of them
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final, TypeVar

import msgspec
import structlog
from aiohttp import web

from phoenix_compat.server.auth.keys.api_keys import ApiKeyError
from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.server.console.context import ConsoleContext, operator_of
from phoenix_compat.server.http.body import parsed_json, read_body
from phoenix_compat.server.http.problem import ProblemError
from phoenix_compat.server.inspection.inspection import INSPECTION, Inspection

MAX_BODY_BYTES: Final = 16 * 2**10
MAX_TEXT_CHARS: Final = 255
_NO_STORE: Final = {"Cache-Control": "no-store"}

T = TypeVar("T")

log = structlog.stdlib.get_logger(__name__)


class _Create(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    scopes: set[Scope]


class _Revoke(msgspec.Struct, forbid_unknown_fields=True):
    name: str


def add_routes(router: web.UrlDispatcher, context: ConsoleContext) -> None:
    """Add the routes."""

    async def list_keys(request: web.Request) -> web.Response:
        operator_of(request)
        records = await _inspection(request).keys.records()
        body = {
            "keys": [asdict(record) for record in records],
            "scopes": [scope.value for scope in Scope],
            "auth": list(context.settings.auth),
        }
        return _answer(body)

    async def create(request: web.Request) -> web.Response:
        operator = operator_of(request)
        wanted = await _body_of(request, _Create)
        try:
            key = await _inspection(request).keys.create(wanted.name, wanted.scopes)
        except ApiKeyError as error:
            raise _refused(error) from error
        log.info("console.key_created", name=wanted.name, by=operator.owner)
        return _answer({"name": wanted.name, "key": key}, status=201)

    async def revoke(request: web.Request) -> web.Response:
        operator = operator_of(request)
        wanted = await _body_of(request, _Revoke)
        try:
            record = await _inspection(request).keys.revoke(wanted.name)
        except ApiKeyError as error:
            raise _refused(error) from error
        log.info("console.key_revoked", name=wanted.name, by=operator.owner)
        return _answer(asdict(record))

    async def show_limits(request: web.Request) -> web.Response:
        operator_of(request)
        text = request.query.get("text", "")[:MAX_TEXT_CHARS]
        return _answer(await _inspection(request).limits.view(text))

    router.add_get("/api/console/keys", list_keys)
    router.add_post("/api/console/keys", create)
    router.add_post("/api/console/keys/revoke", revoke)
    router.add_get("/api/console/limits", show_limits)


def _inspection(request: web.Request) -> Inspection:
    return request.app[INSPECTION]


def _answer(body: Any, *, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body),
        status=status,
        content_type="application/json",
        headers=_NO_STORE,
    )


def _refused(error: ApiKeyError) -> ProblemError:
    text = str(error)
    return ProblemError(422, "invalid-input", text[:1].upper() + text[1:] + ".")


async def _body_of(request: web.Request, of: type[T]) -> T:
    """The JSON body as this type. Raises ProblemError."""
    body = parsed_json(await read_body(request, MAX_BODY_BYTES))
    try:
        return msgspec.convert(body, of)
    except msgspec.ValidationError as error:
        raise ProblemError(422, "invalid-input", f"The body cannot be used: {error}.") from error
