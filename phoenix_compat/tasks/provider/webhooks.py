"""Verifies and parses webhooks from the provider, which are signed as Standard Webhooks.

Polling finds out later whatever a webhook reports, so a lost webhook does no harm.
"""

from __future__ import annotations

import hmac
import json
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping

import structlog

from phoenix_compat.errors import TaskError
from phoenix_compat.redaction import live_secrets
from phoenix_compat.tasks.model.clock import Clock, SystemClock
from phoenix_compat.tasks.model.errors import ProviderError, ProviderUncertainError
from phoenix_compat.tasks.model.prediction import PredictionSnapshot
from phoenix_compat.tasks.provider.replicate.replicate import parse_prediction
from phoenix_compat.tasks.standard_webhooks import VERSION, digest, signing_key

TOLERANCE_S = 300.0
"""The most that a webhook's timestamp may differ from this machine's clock, as it is now or as it
would be if it had not been set since the start."""
MAX_REMEMBERED_IDS = 4_096
SECRET_REFRESH_S = 60.0
"""After a wrong signature the secret is fetched again, at most this often."""

MAX_SIGNATURES = 16
"""More than one is sent only while a secret is being replaced."""
MAX_HEADER_CHARS = 4_096

_ID = re.compile("[!-~]{1,256}")

log = structlog.stdlib.get_logger(__name__)


class WebhookMalformedError(TaskError):
    """A header is missing, or the body is not a prediction."""


class WebhookStaleError(TaskError):
    """The timestamp is too old or too far in the future."""


class WebhookForgedError(TaskError):
    """None of its signatures is valid."""


def is_signed(secret: str, message_id: str, timestamp: str, signatures: str, raw: bytes) -> bool:
    """Whether one of the signatures is valid. Compares every entry, each in constant time.

    Of more than MAX_SIGNATURES entries none is valid.

    Args:
        secret: `whsec_` and the base64 of the key.
        signatures: the header; its entries are separated by spaces.
        raw: the body as it was received.
    """
    try:
        key = signing_key(secret)
    except ValueError:  # it is not base64
        return False
    entries = signatures.split(maxsplit=MAX_SIGNATURES)
    if len(entries) > MAX_SIGNATURES:
        return False
    expected = digest(key, message_id, timestamp, raw)
    is_valid = False
    for entry in entries:
        version, _, signature = entry.partition(",")
        is_equal = hmac.compare_digest(_header_bytes(signature), expected)
        is_valid |= version == VERSION and is_equal
    return is_valid


def _header_bytes(text: str) -> bytes:
    """The bytes of a header's value; aiohttp decodes those that are not UTF-8 to surrogates."""
    return text.encode("utf-8", "surrogatepass")


class WebhookVerifier:
    """Checks the age and signature of webhooks, drops repeats, and parses their predictions."""

    def __init__(
        self, fetch_secret: Callable[[], Awaitable[str]], clock: Clock | None = None
    ) -> None:
        """Create a verifier; the secret is fetched for the first webhook.

        Args:
            fetch_secret: fetches the signing secret from the provider; raises ProviderError.
        """
        self._fetch_secret = fetch_secret
        self._clock = clock or SystemClock()
        self._started_at_s = self._clock.now().timestamp() - self._clock.monotonic()
        self._secret: str | None = None
        self._fetched_at_s = 0.0
        self._seen: OrderedDict[str, None] = OrderedDict()

    async def verify(self, headers: Mapping[str, str], raw: bytes) -> PredictionSnapshot | None:
        """Verify a webhook and return its prediction.

        Returns:
            The prediction; None for a repeat, and when the webhook cannot be verified because the
            secret cannot be fetched. In that case the prediction should be polled.

        Raises:
            WebhookMalformedError: a header is missing, or the body is not a prediction.
            WebhookStaleError: the timestamp differs too much from the current time.
            WebhookForgedError: it is not signed by the provider.
        """
        message_id = headers.get("webhook-id", "")
        timestamp = headers.get("webhook-timestamp", "")
        signatures = headers.get("webhook-signature", "")
        if not (message_id and timestamp and signatures):
            raise WebhookMalformedError(
                "a webhook needs the headers webhook-id, webhook-timestamp and webhook-signature"
            )
        if not _ID.fullmatch(message_id) or len(signatures) > MAX_HEADER_CHARS:
            raise WebhookMalformedError("a header of the webhook is too long, or not visible ASCII")
        self._check_age(timestamp)
        is_genuine = await self._is_genuine(message_id, timestamp, signatures, raw)
        if is_genuine is False:
            raise WebhookForgedError("none of the webhook's signatures is valid")
        if is_genuine is None or message_id in self._seen:
            return None
        snapshot = _snapshot(raw)
        self._seen[message_id] = None
        if len(self._seen) > MAX_REMEMBERED_IDS:
            self._seen.popitem(last=False)
        return snapshot

    def _check_age(self, timestamp: str) -> None:
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
            raise WebhookMalformedError("the webhook's timestamp is not a number of seconds")
        # The wall clock may have been wrong at the start, or be set to a wrong time later.
        times_s = (
            self._clock.now().timestamp(),
            self._started_at_s + self._clock.monotonic(),
        )
        if min(abs(now_s - int(timestamp)) for now_s in times_s) > TOLERANCE_S:
            raise WebhookStaleError(
                "the webhook's timestamp differs too much from the current time"
            )

    async def _is_genuine(
        self, message_id: str, timestamp: str, signatures: str, raw: bytes
    ) -> bool | None:
        """Whether it is signed by the provider; None when that cannot be checked at the moment."""
        signed = (message_id, timestamp, signatures, raw)
        if self._secret is not None and is_signed(self._secret, *signed):
            return True
        now_s = self._clock.monotonic()
        if self._secret is not None and now_s - self._fetched_at_s < SECRET_REFRESH_S:
            return False
        # This is the first webhook, or the secret may have changed since it was fetched.
        self._fetched_at_s = now_s
        try:
            self._secret = await self._fetch_secret()
            live_secrets.register(self._secret)
        except ProviderError as error:
            log.warning("webhook.secret_unavailable", reason=str(error))
            return None if self._secret is None else False
        return is_signed(self._secret, *signed)


def _snapshot(raw: bytes) -> PredictionSnapshot:
    try:
        return parse_prediction(json.loads(raw)).snapshot()
    except (ValueError, RecursionError, ProviderUncertainError) as error:
        raise WebhookMalformedError("the webhook's body is not a prediction") from error
