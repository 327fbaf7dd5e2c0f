"""Reads what a request says beside its path: checked values and headers, or a problem document."""

from __future__ import annotations

import re
from typing import Final, TypeVar

import pydantic
from aiohttp import web
from pydantic import BaseModel
from pydantic_core import ErrorDetails

from phoenix_compat.server.http.problem import ProblemError
from phoenix_compat.server.process.expectation import expectation, own_reason

KEY_HEADER: Final = "Idempotency-Key"
REPLAYED_HEADER: Final = "Idempotency-Replayed"

# Visible ASCII. In the draft, keys are quoted (RFC 8941 strings); most clients send them unquoted.
_KEY: Final = re.compile(r'[!#-\[\]-~]{1,255}|"[!#-\[\]-~]{1,255}"')

Model = TypeVar("Model", bound=BaseModel)


def idempotency_key(request: web.Request) -> str | None:
    """The idempotency key of a request, if it has one.

    Raises:
        ProblemError: 400, the header is malformed.

    Source: draft-ietf-httpapi-idempotency-key-header-07, section 2.1.
    """
    keys = request.headers.getall(KEY_HEADER, [])
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        reason = "must be one key of 1 to 255 visible ASCII characters"
        detail = f"The header {KEY_HEADER} {reason}."
        raise ProblemError(400, "bad-idempotency-key", detail, errors=((KEY_HEADER, reason),))
    return keys[0].strip('"')


def validated(model: type[Model], value: object) -> Model:
    """A value that a client sent, as a pydantic model.

    Raises:
        ProblemError: 422, with every invalid field.
    """
    try:
        return model.model_validate(value)
    except pydantic.ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        errors = tuple(_field_and_reason(model, one) for one in found)
        field, reason = errors[0]
        raise ProblemError(422, "invalid-input", f"{field}: {reason}", errors=errors) from error


def _field_and_reason(model: type[BaseModel], found: ErrorDetails) -> tuple[str, str]:
    if not found["loc"]:
        return "body", "must be a JSON object"
    field = ".".join(map(str, found["loc"]))
    if found["type"] == "missing":
        return field, "is required"
    reason = own_reason(found)
    return field, reason or f"must be {expectation(model.model_fields[str(found['loc'][0])])}"
