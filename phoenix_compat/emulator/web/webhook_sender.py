"""Sends webhooks: watches each prediction that has one, and posts its events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from phoenix_compat.background import log_failure
from phoenix_compat.emulator.faults.fault import Stage, WebhookFault
from phoenix_compat.emulator.json_type import JsonObject
from phoenix_compat.emulator.predictions.prediction import Prediction
from phoenix_compat.emulator.settings import DEFAULT_WEBHOOK_SECRET
from phoenix_compat.emulator.signature import webhook_headers
from phoenix_compat.emulator.state import Delivery, EmulatorState
from phoenix_compat.emulator.web.request_context import STATE
from phoenix_compat.emulator.webhook_events import WebhookEventDetector

_TIMEOUT = aiohttp.ClientTimeout(total=10)
_LATE_S = 20.0
_OLD_S = 3600
_WRONG_SECRET = DEFAULT_WEBHOOK_SECRET[:-8] + "AAAAAAA="


class WebhookSender:
    """Runs one task per prediction with a webhook; all of them end with the emulator."""

    def __init__(self, state: EmulatorState, session: aiohttp.ClientSession) -> None:
        self._state = state
        self._session = session
        self._watchers: set[asyncio.Task[None]] = set()

    def watch(self, prediction: Prediction) -> None:
        """Send the webhooks of this prediction until it ends; does nothing without a webhook.

        After a restart of the emulator the events are sent from the first one, so an event may be
        sent twice.
        """
        webhook = prediction.webhook
        if webhook is None or not webhook.url or prediction.is_reported:
            return
        scope = prediction.prompt
        fault = self._state.faults.pick(Stage.WEBHOOK, prediction.fault_specs, scope)
        webhook_fault = fault.action if fault and isinstance(fault.action, WebhookFault) else None
        if webhook_fault is WebhookFault.NEVER:
            return
        deliveries = _Deliveries(self._state, self._session, prediction, webhook.url, webhook_fault)
        watcher = asyncio.create_task(deliveries.run(WebhookEventDetector(webhook.events)))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)
        watcher.add_done_callback(log_failure)

    async def close(self) -> None:
        """Stop. Undelivered webhooks are sent after a restart if there is a state file."""
        watchers = list(self._watchers)
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)


WEBHOOK_SENDER: web.AppKey[WebhookSender] = web.AppKey("webhook_sender", WebhookSender)


async def webhook_sender_context(app: web.Application) -> AsyncIterator[None]:
    """Run the webhook sender while the application runs."""
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        app[WEBHOOK_SENDER] = WebhookSender(app[STATE], session)
        yield
        await app[WEBHOOK_SENDER].close()


class _Deliveries:
    """The webhook deliveries of one prediction."""

    def __init__(
        self,
        state: EmulatorState,
        session: aiohttp.ClientSession,
        prediction: Prediction,
        url: str,
        fault: WebhookFault | None,
    ) -> None:
        self._state = state
        self._session = session
        self._prediction = prediction
        self._url = url
        self._fault = fault

    async def run(self, detector: WebhookEventDetector) -> None:
        """Post the events one after the other; the terminal one is retried until it is accepted."""
        clock, timer = self._state.clock, self._state.timer
        earlier: JsonObject | None = None
        while True:
            now_s = clock.now_s()
            document = self._state.document(self._prediction)
            for event in detector.detect(document, now_s):
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
        if self._fault is WebhookFault.LATE:
            await self._state.timer.sleep(_LATE_S)
        for wait_s in (*self._state.settings.webhook_retry_s, None):
            if await self._post("completed", document, message_id) or wait_s is None:
                break
            await self._state.timer.sleep(wait_s)
        if self._fault is WebhookFault.DUPLICATE:
            await self._post("completed", document, message_id)
        if self._fault is WebhookFault.REORDERED:
            await self._post("output", earlier, self._state.new_id())

    async def _post(self, event: str, document: JsonObject, message_id: str) -> bool:
        """Send one webhook once. Returns True when the receiver answered 2xx."""
        body = json.dumps(document).encode()
        secret, at_s = self._state.settings.webhook_secret, int(self._state.clock.now_s())
        if self._fault is WebhookFault.BAD_SIGNATURE:
            secret = _WRONG_SECRET
        if self._fault is WebhookFault.OLD_TIMESTAMP:
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
        final_keys = ("completed_at", "metrics")
        started = {key: value for key, value in document.items() if key not in final_keys}
        return started | {"status": "processing", "output": None, "error": None}
