"""Delivers webhooks: follows each prediction that asked for them, and posts what happens to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from phoenix_compat.background import log_failure
from phoenix_compat.emulator.faults.fault import Stage, WebhookTrick
from phoenix_compat.emulator.json_type import JsonObject
from phoenix_compat.emulator.predictions.prediction import Prediction
from phoenix_compat.emulator.settings import DEFAULT_WEBHOOK_SECRET
from phoenix_compat.emulator.signature import webhook_headers
from phoenix_compat.emulator.state import Delivery, EmulatorState
from phoenix_compat.emulator.web.request_context import STATE
from phoenix_compat.emulator.webhook_watch import WebhookWatch

_TIMEOUT = aiohttp.ClientTimeout(total=10)
_LATE_S = 20.0
_OLD_S = 3600
_WRONG_SECRET = DEFAULT_WEBHOOK_SECRET[:-8] + "AAAAAAA="


class WebhookSender:
    """One follower task per prediction with a webhook; all end with the emulator."""

    def __init__(self, state: EmulatorState, session: aiohttp.ClientSession) -> None:
        self._state = state
        self._session = session
        self._followers: set[asyncio.Task[None]] = set()

    def follow(self, prediction: Prediction) -> None:
        """Report this prediction to its webhook until it is over; nothing without one.

        One taken up after a restart is reported from its start: what was sent may come twice.
        """
        order = prediction.webhook
        if order is None or not order.url or prediction.is_reported:
            return
        scope = prediction.prompt
        fault = self._state.faults.pick(Stage.WEBHOOK, prediction.marks, scope)
        trick = fault.action if fault and isinstance(fault.action, WebhookTrick) else None
        if trick is WebhookTrick.NEVER:
            return
        route = _Route(self._state, self._session, prediction, order.url, trick)
        follower = asyncio.create_task(route.walk(WebhookWatch(order.events)))
        self._followers.add(follower)
        follower.add_done_callback(self._followers.discard)
        follower.add_done_callback(log_failure)  # this one's webhooks; looks find what they told

    async def close(self) -> None:
        """Stop following; what is not delivered by now waits for a start that remembers it."""
        followers = list(self._followers)
        for follower in followers:
            follower.cancel()
        await asyncio.gather(*followers, return_exceptions=True)


COURIER: web.AppKey[WebhookSender] = web.AppKey("webhook_sender", WebhookSender)


async def webhook_sender_context(app: web.Application) -> AsyncIterator[None]:
    """The webhook sender's life, from the server's start to its end."""
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        app[COURIER] = WebhookSender(app[STATE], session)
        yield
        await app[COURIER].close()


class _Route:
    """The deliveries of one prediction."""

    def __init__(
        self,
        state: EmulatorState,
        session: aiohttp.ClientSession,
        prediction: Prediction,
        url: str,
        trick: WebhookTrick | None,
    ) -> None:
        self._state = state
        self._session = session
        self._prediction = prediction
        self._url = url
        self._trick = trick

    async def walk(self, watch: WebhookWatch) -> None:
        """Post each event as it comes, one after the other, and the terminal one until it lands."""
        clock, timer = self._state.clock, self._state.timer
        earlier: JsonObject | None = None
        while True:
            now_s = clock.now_s()
            document = self._state.document(self._prediction)
            for event in watch.look(document, now_s):
                if event == "completed":
                    await self._complete(document, earlier or self._as_it_started(document))
                    self._state.persistence.reported(self._prediction, clock.now_s())
                else:
                    await self._post(event, document, self._state.new_id())
            next_s = self._prediction.next_change_s(now_s)
            if next_s is None or timer.is_closed:
                return
            earlier = document
            await timer.wait_for_change(next_s)

    async def _complete(self, document: JsonObject, earlier: JsonObject) -> None:
        message_id = self._state.new_id()
        if self._trick is WebhookTrick.LATE:
            await self._state.timer.sleep(_LATE_S)
        for wait_s in (*self._state.settings.webhook_retry_s, None):
            if await self._post("completed", document, message_id) or wait_s is None:
                break
            await self._state.timer.sleep(wait_s)
        if self._trick is WebhookTrick.DUPLICATE:
            await self._post("completed", document, message_id)
        if self._trick is WebhookTrick.REORDERED:
            await self._post("output", earlier, self._state.new_id())

    async def _post(self, event: str, document: JsonObject, message_id: str) -> bool:
        """Send it once. True when the receiver answered 2xx."""
        body = json.dumps(document).encode()
        secret, at_s = self._state.settings.webhook_secret, int(self._state.clock.now_s())
        if self._trick is WebhookTrick.BAD_SIGNATURE:
            secret = _WRONG_SECRET
        if self._trick is WebhookTrick.OLD_TIMESTAMP:
            at_s -= _OLD_S
        headers = webhook_headers(secret, f"msg_{message_id}", at_s, body)
        headers["Content-Type"] = "application/json"
        status: int | None = None
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError):
            status = None
        self._state.deliveries.append(Delivery(self._prediction.id, event, message_id, status))
        return status is not None and 200 <= status < 300

    @staticmethod
    def _as_it_started(document: JsonObject) -> JsonObject:
        late = ("completed_at", "metrics")
        kept = {key: value for key, value in document.items() if key not in late}
        return kept | {"status": "processing", "output": None, "error": None}
