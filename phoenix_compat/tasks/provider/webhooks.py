"""Webhooks from the provider: whose they are, whether they are genuine, and what they say.

Standard Webhooks: `webhook-signature` holds "v1,<base64>" entries, each an HMAC-SHA256 over
"<id>.<timestamp>.<raw body>". A webhook is a hint: it says sooner what a look would say later.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping

import structlog

from phoenix_compat.errors import TaskError
from phoenix_compat.tasks.model.clock import Clock, SystemClock
from phoenix_compat.tasks.model.errors import ProviderError, ProviderUncertainError
from phoenix_compat.tasks.model.prediction import PredictionSnapshot
from phoenix_compat.tasks.provider.replicate import parsed_prediction

TOLERANCE_S = 300.0
"""A webhook may be so old, or so far ahead of our clock."""
MAX_REMEMBERED = 4_096
SECRET_AGE_S = 60.0
"""A signature that does not fit has the secret fetched again, but not more often than this."""

_PREFIX = "whsec_"

log = structlog.stdlib.get_logger(__name__)


class WebhookMalformedError(TaskError):
    """It lacks a header, or its body is no prediction."""


class WebhookStaleError(TaskError):
    """It was signed too long ago, or in the future."""


class WebhookForgedError(TaskError):
    """No signature of it is the provider's."""


def is_signed(secret: str, message_id: str, timestamp: str, signatures: str, raw: bytes) -> bool:
    """Whether one of the signatures is right. Every entry is compared, each in constant time.

    Args:
        secret: `whsec_` and the base64 of the key.
        signatures: the header, entries apart by spaces.
        raw: the body as it came, never parsed and written again.
    """
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX))
    except binascii.Error:
        return False
    signed = f"{message_id}.{timestamp}.".encode() + raw
    expected = base64.b64encode(hmac.digest(key, signed, "sha256"))
    is_right = False
    for entry in signatures.split():
        version, _, signature = entry.partition(",")
        is_same = hmac.compare_digest(signature.encode(), expected)
        is_right |= version == "v1" and is_same
    return is_right


class WebhookInbox:
    """Opens webhooks: checks the signature and the age, forgets repeats, reads the prediction."""

    def __init__(
        self, fetch_secret: Callable[[], Awaitable[str]], clock: Clock | None = None
    ) -> None:
        """Nothing is fetched before the first webhook.

        Args:
            fetch_secret: asks the provider for the signing secret; raises ProviderError.
        """
        self._fetch_secret = fetch_secret
        self._clock = clock or SystemClock()
        self._secret: str | None = None
        self._fetched_at_s = 0.0
        self._seen: OrderedDict[str, None] = OrderedDict()

    async def opened(self, headers: Mapping[str, str], raw: bytes) -> PredictionSnapshot | None:
        """What it says of a prediction; None when it says nothing that counts.

        That is a repeat, and one that cannot be checked because the secret cannot be fetched: a
        look at the prediction then tells more.

        Raises:
            WebhookMalformedError: a header is missing, or the body is no prediction.
            WebhookStaleError: its time is too far from ours.
            WebhookForgedError: it is not signed by the provider.
        """
        message_id = headers.get("webhook-id", "")
        timestamp = headers.get("webhook-timestamp", "")
        signatures = headers.get("webhook-signature", "")
        if not (message_id and timestamp and signatures):
            raise WebhookMalformedError("a webhook has an id, a timestamp and a signature")
        self._check_age(timestamp)
        is_genuine = await self._is_genuine(message_id, timestamp, signatures, raw)
        if is_genuine is None or message_id in self._seen:
            return None
        if not is_genuine:
            raise WebhookForgedError("no signature of the webhook fits")
        snapshot = _snapshot(raw)
        self._seen[message_id] = None
        if len(self._seen) > MAX_REMEMBERED:
            self._seen.popitem(last=False)
        return snapshot

    def _check_age(self, timestamp: str) -> None:
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
            raise WebhookMalformedError("the webhook's timestamp is no number of seconds")
        if abs(self._clock.now().timestamp() - int(timestamp)) > TOLERANCE_S:
            raise WebhookStaleError("the webhook's timestamp is too far from the present")

    async def _is_genuine(
        self, message_id: str, timestamp: str, signatures: str, raw: bytes
    ) -> bool | None:
        """None when that cannot be told now."""
        signed = (message_id, timestamp, signatures, raw)
        if self._secret is not None and is_signed(self._secret, *signed):
            return True
        now_s = self._clock.monotonic()
        if self._secret is not None and now_s - self._fetched_at_s < SECRET_AGE_S:
            return False
        # The first webhook; or the secret has been changed since it was fetched.
        self._fetched_at_s = now_s
        try:
            self._secret = await self._fetch_secret()
        except ProviderError as error:
            log.warning("webhook.secret_unknown", reason=str(error))
            return None if self._secret is None else False
        return is_signed(self._secret, *signed)


def _snapshot(raw: bytes) -> PredictionSnapshot:
    try:
        return parsed_prediction(json.loads(raw)).snapshot()
    except (ValueError, RecursionError, ProviderUncertainError) as error:
        raise WebhookMalformedError("the webhook's body is no prediction") from error
