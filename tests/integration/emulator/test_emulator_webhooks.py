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
from tests.unit.emulator.caller import IMAGEN, Caller, calling

KEY = base64.b64decode(DEFAULT_WEBHOOK_SECRET.removeprefix("whsec_"))
ALL_EVENTS = ["start", "output", "logs", "completed"]


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook as it was received."""

    id: str
    timestamp: int
    signature: str
    body: bytes

    @property
    def prediction(self) -> Any:
        """The prediction object in it."""
        return json.loads(self.body)

    @property
    def is_signed(self) -> bool:
        """True when the signature is of this id, time and body, with the account's secret."""
        signed = f"{self.id}.{self.timestamp}.".encode() + self.body
        expected = base64.b64encode(hmac.digest(KEY, signed, "sha256")).decode()
        return hmac.compare_digest(self.signature, f"v1,{expected}")


@dataclass
class Receiver:
    """Where webhooks go. It answers with these statuses in turn, and then with 200."""

    url: str
    hooks: asyncio.Queue[Hook] = field(default_factory=asyncio.Queue)
    statuses: list[int] = field(default_factory=list)

    async def receive(self, request: web.Request) -> web.Response:
        """Take one in."""
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
        """The next hooks, as many as these."""
        async with asyncio.timeout(patient(5)):
            return [await self.hooks.get() for _ in range(count)]


def is_over(hook: Hook) -> bool:
    """True for a terminal webhook."""
    return hook.prediction["status"] not in ("starting", "processing")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver on the loopback."""
    receiver = Receiver("")
    app = web.Application()
    app.router.add_post("/hook", receiver.receive)
    async with TestServer(app) as server:
        receiver.url = str(server.make_url("/hook"))
        yield receiver


async def create(
    caller: Caller, url: str, prompt: str = "x", events: Sequence[str] | None = None
) -> str:
    """Create a prediction that reports there. Returns its id."""
    body: dict[str, Any] = {"webhook": url}
    if events is not None:
        body["webhook_events_filter"] = events
    created = await caller.create(prompt, body=body)
    assert created.status == 201, created.json
    return str(created.json["id"])


async def test_a_webhook_is_the_signed_prediction(receiver: Receiver) -> None:
    """The terminal webhook carries what GET answers, under a good signature."""
    async with calling(is_running=True, speed=100) as caller:
        prediction_id = await create(caller, receiver.url, events=["completed"])

        (hook,) = await receiver.take(1)

        seen = await caller.get(f"/v1/predictions/{prediction_id}")
        assert hook.is_signed
        assert hook.prediction == seen.json
        assert hook.prediction["status"] == "succeeded"


async def test_all_events_come_in_order(receiver: Receiver) -> None:
    """Start, then logs as they grow, then the output, then the end."""
    async with calling() as caller:
        flux = "/v1/models/black-forest-labs/flux-schnell/predictions"
        body = {"webhook": receiver.url, "webhook_events_filter": ALL_EVENTS}
        await caller.create(path=flux, body=body)
        statuses = []
        for seconds, count in ((1.0, 2), (1.0, 1), (2.89, 2), (0.2, 1)):
            caller.state.clock.advance(seconds)
            statuses += [hook.prediction["status"] for hook in await receiver.take(count)]

        assert statuses == ["processing"] * 5 + ["succeeded"]
        events = [delivery.event for delivery in caller.state.deliveries]
        assert events[:5] == ["start", "logs", "logs", "output", "logs"]


async def test_the_terminal_webhook_is_repeated_until_it_lands(receiver: Receiver) -> None:
    """A receiver in trouble gets the same message again, under the same id."""
    receiver.statuses = [500, 404]
    async with calling(is_running=True, speed=100, webhook_retry_s=(0.01,) * 5) as caller:
        await create(caller, receiver.url, events=["completed"])

        hooks = await receiver.take(3)

        assert len({hook.id for hook in hooks}) == 1
        assert all(hook.is_signed and is_over(hook) for hook in hooks)


async def test_earlier_webhooks_are_not_repeated(receiver: Receiver) -> None:
    """A failed start webhook is lost; the terminal one comes all the same."""
    receiver.statuses = [500]
    async with calling(is_running=True, speed=100) as caller:
        await create(caller, receiver.url, events=["start", "completed"])

        first, second = await receiver.take(2)

        assert (first.prediction["status"], is_over(second)) == ("processing", True)
        assert first.id != second.id


async def test_a_receiver_that_is_not_there_harms_nothing(receiver: Receiver) -> None:
    """Nobody listening is noted, and the emulator goes on."""
    async with calling(is_running=True, speed=100, webhook_retry_s=()) as caller:
        await create(caller, "http://127.0.0.1:9/hook", events=["completed"])
        await create(caller, receiver.url, events=["completed"])

        await receiver.take(1)

        statuses = {delivery.answer_status for delivery in caller.state.deliveries}
        assert statuses <= {None, 200}


async def test_a_cancel_is_reported_at_once(receiver: Receiver) -> None:
    """The clock stands still, and yet the cancel's webhook comes."""
    async with calling() as caller:
        prediction_id = await create(caller, receiver.url)

        await caller.request("POST", f"/v1/predictions/{prediction_id}/cancel")

        (hook,) = await receiver.take(1)
        assert hook.prediction["status"] == "canceled"


def late_s(hook: Hook) -> float:
    """How long after its prediction's end it was signed."""
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
    """The webhooks of the struck prediction are what the fault says; the next one's are good."""
    async with calling(is_running=True, speed=100) as caller:
        caller.state.clock.scale(100 if name == "webhook_late" else 1)
        struck_id = await create(caller, receiver.url, f"#fault:{name}x1", ["completed"])
        hooks = await receiver.take(COUNTS.get(name, 1))

        good_id = await create(caller, receiver.url, f"#fault:{name}x1", ["completed"])
        good = await receiver.take(1)

        assert WEBHOOKS[name](hooks), hooks
        assert {hook.prediction["id"] for hook in hooks} <= {struck_id}
        assert (good[0].prediction["id"], good[0].is_signed) == (good_id, True)


async def test_a_plain_http_webhook_elsewhere_is_refused() -> None:
    """Only this machine may be told without TLS."""
    async with calling() as caller:
        seen = await caller.request(
            "POST",
            IMAGEN,
            json={"input": {"prompt": "x"}, "webhook": "http://example.com/hook"},
        )

        assert seen.status == 422
        assert seen.json["invalid_fields"][0]["field"] == "webhook"
