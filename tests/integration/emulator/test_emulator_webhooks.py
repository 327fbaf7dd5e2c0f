"""The emulator's webhooks, received over real sockets."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from phoenix_compat.emulator.clock import parse_timestamp
from phoenix_compat.emulator.settings import DEFAULT_WEBHOOK_SECRET
from tests.patience import patient
from tests.unit.emulator.emulator_client import IMAGEN, EmulatorClient, emulator_client

KEY = base64.b64decode(DEFAULT_WEBHOOK_SECRET.removeprefix("whsec_"))
ALL_EVENTS = ["start", "output", "logs", "completed"]


@dataclass(frozen=True, slots=True)
class Hook:
    """A received webhook."""

    id: str
    timestamp: int
    signature: str
    body: bytes

    @property
    def prediction(self) -> Any:
        """The prediction object in the body."""
        return json.loads(self.body)

    @property
    def is_signed(self) -> bool:
        """True when the signature is valid for this id, time and body."""
        signed = f"{self.id}.{self.timestamp}.".encode() + self.body
        expected = base64.b64encode(hmac.digest(KEY, signed, "sha256")).decode()
        return hmac.compare_digest(self.signature, f"v1,{expected}")


@dataclass
class Receiver:
    """Receives webhooks. It answers with `statuses` in turn, and then with 200."""

    url: str
    hooks: asyncio.Queue[Hook] = field(default_factory=asyncio.Queue)
    statuses: list[int] = field(default_factory=list)

    async def receive(self, request: web.Request) -> web.Response:
        """Record a webhook and answer it."""
        headers = request.headers
        hook = Hook(
            headers["webhook-id"],
            int(headers["webhook-timestamp"]),
            headers["webhook-signature"],
            await request.read(),
        )
        self.hooks.put_nowait(hook)
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    async def take(self, count: int) -> list[Hook]:
        """The next `count` webhooks."""
        async with asyncio.timeout(patient(5)):
            return [await self.hooks.get() for _ in range(count)]


def is_over(hook: Hook) -> bool:
    """True for a terminal webhook."""
    return hook.prediction["status"] not in ("starting", "processing")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A webhook receiver on loopback."""
    receiver = Receiver("")
    app = web.Application()
    app.router.add_post("/hook", receiver.receive)
    async with TestServer(app) as server:
        receiver.url = str(server.make_url("/hook"))
        yield receiver


async def create(
    client: EmulatorClient, url: str, prompt: str = "x", events: Sequence[str] | None = None
) -> str:
    """Create a prediction with this webhook URL. Returns its id."""
    body: dict[str, Any] = {"webhook": url}
    if events is not None:
        body["webhook_events_filter"] = events
    created = await client.create(prompt, body=body)
    assert created.status == 201, created.json
    return str(created.json["id"])


async def test_a_webhook_is_the_signed_prediction(receiver: Receiver) -> None:
    """The terminal webhook has the same document as GET and a valid signature."""
    async with emulator_client(is_running=True, speed=100) as client:
        prediction_id = await create(client, receiver.url, events=["completed"])

        (hook,) = await receiver.take(1)

        response = await client.get(f"/v1/predictions/{prediction_id}")
        assert hook.is_signed
        assert hook.prediction == response.json
        assert hook.prediction["status"] == "succeeded"


async def test_all_events_come_in_order(receiver: Receiver) -> None:
    """The order is start, logs, output and completed."""
    async with emulator_client() as client:
        flux = "/v1/models/black-forest-labs/flux-schnell/predictions"
        body = {"webhook": receiver.url, "webhook_events_filter": ALL_EVENTS}
        await client.create(path=flux, body=body)
        statuses = []
        for seconds, count in ((1.0, 2), (1.0, 1), (2.89, 2), (0.2, 1)):
            client.state.clock.advance(seconds)
            statuses += [hook.prediction["status"] for hook in await receiver.take(count)]

        assert statuses == ["processing"] * 5 + ["succeeded"]
        events = [delivery.event for delivery in client.state.deliveries]
        assert events[:5] == ["start", "logs", "logs", "output", "logs"]


async def test_the_terminal_webhook_is_retried_until_it_is_accepted(receiver: Receiver) -> None:
    """After an error response the same message is sent again with the same id."""
    receiver.statuses = [500, 404]
    async with emulator_client(is_running=True, speed=100, webhook_retry_s=(0.01,) * 5) as client:
        await create(client, receiver.url, events=["completed"])

        hooks = await receiver.take(3)

        assert len({hook.id for hook in hooks}) == 1
        assert all(hook.is_signed and is_over(hook) for hook in hooks)


async def test_earlier_webhooks_are_not_retried(receiver: Receiver) -> None:
    """A failed `start` webhook is not sent again, and the terminal one is still sent."""
    receiver.statuses = [500]
    async with emulator_client() as client:
        await create(client, receiver.url, events=["start", "completed"])
        client.state.clock.advance(1.0)
        (first,) = await receiver.take(1)
        client.state.clock.advance(10.0)

        (second,) = await receiver.take(1)

        assert (first.prediction["status"], is_over(second)) == ("processing", True)
        assert first.id != second.id


async def test_an_unreachable_receiver_does_not_affect_others(receiver: Receiver) -> None:
    """The failed delivery is recorded, and other webhooks are delivered."""
    async with emulator_client(is_running=True, speed=100, webhook_retry_s=()) as client:
        await create(client, "http://127.0.0.1:9/hook", events=["completed"])
        await create(client, receiver.url, events=["completed"])

        await receiver.take(1)

        statuses = {delivery.answer_status for delivery in client.state.deliveries}
        assert statuses <= {None, 200}


async def test_a_cancel_is_reported_at_once(receiver: Receiver) -> None:
    """The webhook of a cancel is sent at once, also when the clock is stopped."""
    async with emulator_client() as client:
        prediction_id = await create(client, receiver.url)

        await client.request("POST", f"/v1/predictions/{prediction_id}/cancel")

        (hook,) = await receiver.take(1)
        assert hook.prediction["status"] == "canceled"


def late_s(hook: Hook) -> float:
    """How many seconds after the end of its prediction the webhook was signed."""
    return hook.timestamp - parse_timestamp(hook.prediction["completed_at"])


WEBHOOKS: dict[str, Callable[[list[Hook]], bool]] = {
    "webhook_duplicate": lambda hooks: (
        [is_over(hook) for hook in hooks] == [True, True] and hooks[0].id == hooks[1].id
    ),
    "webhook_reordered": lambda hooks: (
        [is_over(hook) for hook in hooks] == [True, False] and all(hook.is_signed for hook in hooks)
    ),
    "webhook_late": lambda hooks: len(hooks) == 1 and late_s(hooks[0]) >= 19,
    "webhook_bad_signature": lambda hooks: [hook.is_signed for hook in hooks] == [False],
    "webhook_old_timestamp": lambda hooks: hooks[0].is_signed and late_s(hooks[0]) < -3000,
    "webhook_never": lambda hooks: hooks == [],
}
COUNTS = {"webhook_duplicate": 2, "webhook_reordered": 2, "webhook_never": 0}


@pytest.mark.parametrize("name", WEBHOOKS)
async def test_a_webhook_fault(receiver: Receiver, name: str) -> None:
    """The fault applies to the webhooks of one prediction; the next one's are correct."""
    async with emulator_client(is_running=True, speed=100) as client:
        client.state.clock.scale(100 if name == "webhook_late" else 1)
        faulty_id = await create(client, receiver.url, f"#fault:{name}x1", ["completed"])
        hooks = await receiver.take(COUNTS.get(name, 1))

        good_id = await create(client, receiver.url, f"#fault:{name}x1", ["completed"])
        good = await receiver.take(1)

        assert WEBHOOKS[name](hooks), hooks
        assert {hook.prediction["id"] for hook in hooks} <= {faulty_id}
        assert (good[0].prediction["id"], good[0].is_signed) == (good_id, True)


async def test_a_plain_http_webhook_to_another_host_is_refused() -> None:
    """Plain HTTP is accepted only for this machine."""
    async with emulator_client() as client:
        response = await client.request(
            "POST",
            IMAGEN,
            json={"input": {"prompt": "x"}, "webhook": "http://example.com/hook"},
        )

        assert response.status == 422
        assert response.json["invalid_fields"][0]["field"] == "webhook"
