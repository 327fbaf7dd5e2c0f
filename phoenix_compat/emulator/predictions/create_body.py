"""The body of a create: closed, checked, and read into a value."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from phoenix_compat.emulator.json_type import JSON, JsonObject
from phoenix_compat.emulator.predictions.model_input import unexpected
from phoenix_compat.emulator.predictions.prediction import WebhookRequest
from phoenix_compat.emulator.problem import InvalidField, invalid_input
from phoenix_compat.emulator.webhook_watch import DEFAULT_EVENTS, EVENTS

_COMMON_KEYS = ("input", "webhook", "webhook_events_filter", "stream")


@dataclass(frozen=True, slots=True)
class CreateBody:
    """What a create asks for.

    Attributes:
        version: None where the path names the model.
        webhook: None for none; one with an empty URL was asked for by mistake.
    """

    input: JsonObject
    version: str | None
    webhook: WebhookRequest | None


def read_create_body(document: JSON, *, has_version: bool) -> CreateBody:
    """The body as a value.

    Args:
        has_version: `version` is required, as on POST /predictions; elsewhere it is refused.

    Raises:
        ProblemError: 422, with everything that is wrong.
    """
    if not isinstance(document, dict):
        raise invalid_input([InvalidField("invalid_type", "", "Invalid type. Expected: object")])
    allowed = ("version", *_COMMON_KEYS) if has_version else _COMMON_KEYS
    complaints = [*_missing(document, has_version=has_version)]
    complaints += [unexpected("", key) for key in document if key not in allowed]
    complaints += _wrong(document)
    if complaints:
        raise invalid_input(complaints)
    events = document.get("webhook_events_filter")
    url = document.get("webhook")
    order = None
    if url is not None:
        order = WebhookRequest(url, DEFAULT_EVENTS if events is None else frozenset(events))
    return CreateBody(document["input"], document.get("version"), order)


def _missing(document: JsonObject, *, has_version: bool) -> Iterable[InvalidField]:
    for key in ("version", "input") if has_version else ("input",):
        if document.get(key) is None:
            yield InvalidField("required", "", f"{key} is required")


def _wrong(document: JsonObject) -> Iterable[InvalidField]:
    if not isinstance(document.get("input", {}), dict | None):
        yield InvalidField("invalid_type", "input", "Invalid type. Expected: object")
    if not isinstance(document.get("version", ""), str | None):
        yield InvalidField("invalid_type", "version", "Invalid type. Expected: string")
    url = document.get("webhook")
    if url is not None and not (isinstance(url, str) and _may_be_called(url)):
        yield InvalidField("format", "webhook", "webhook must be a valid HTTPS URL")
    events = document.get("webhook_events_filter")
    if events is not None and not (
        isinstance(events, list)
        and all(isinstance(event, str) and event in EVENTS for event in events)
    ):
        listed = ", ".join(f'"{event}"' for event in sorted(EVENTS))
        yield InvalidField("enum", "webhook_events_filter", f"must be among: {listed}")


def _may_be_called(url: str) -> bool:
    # Replicate accepts "" and fails the prediction later (E4875). Plain HTTP is allowed here, and
    # only here, for a receiver on this machine: tests have no certificates.
    if url == "":
        return True
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and _is_near(host)))


def _is_near(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
