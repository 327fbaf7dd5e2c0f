"""A small receiver of OTLP over HTTP: it decodes what OpenTelemetry's exporters send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.patience import patient
from tests.serving import serving

PATH = "/v1/traces"


@dataclass(frozen=True)
class ReceivedSpan:
    """A span; ids are hexadecimal, times in seconds since 1970."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    began_s: float
    ended_s: float
    is_error: bool
    attributes: dict[str, Any]
    resource: dict[str, Any]


class Receiver:
    """What has arrived.

    Attributes:
        url: the endpoint, for OTEL_EXPORTER_OTLP_ENDPOINT.
        spans: in the order in which they arrived.
    """

    def __init__(self) -> None:
        self.url = ""
        self.spans: list[ReceivedSpan] = []
        self._arrived = asyncio.Event()

    async def receive(self, request: web.Request) -> web.Response:
        """One batch."""
        message = ExportTraceServiceRequest.FromString(await request.read())
        for group in message.resource_spans:
            resource = _values(group.resource.attributes)
            for scope in group.scope_spans:
                self.spans += [_span(one, resource) for one in scope.spans]
        self._arrived.set()
        body = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=body, content_type="application/x-protobuf")

    async def until(self, condition: Callable[[list[ReceivedSpan]], bool]) -> None:
        """Wait until the spans that have arrived meet a condition."""
        async with asyncio.timeout(patient(30.0)):
            while not condition(self.spans):
                self._arrived.clear()
                await self._arrived.wait()

    def named(self, name: str) -> list[ReceivedSpan]:
        """The spans with a name."""
        return [span for span in self.spans if span.name == name]


@asynccontextmanager
async def open_receiver() -> AsyncIterator[Receiver]:
    """Run a receiver on a free port."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post(PATH, receiver.receive)
    async with serving(app) as url:
        receiver.url = url
        yield receiver


def _span(one: Any, resource: dict[str, Any]) -> ReceivedSpan:
    return ReceivedSpan(
        name=one.name,
        trace_id=one.trace_id.hex(),
        span_id=one.span_id.hex(),
        parent_id=one.parent_span_id.hex(),
        began_s=one.start_time_unix_nano / 1e9,
        ended_s=one.end_time_unix_nano / 1e9,
        is_error=one.status.code == 2,
        attributes=_values(one.attributes),
        resource=resource,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
