"""Makes one attempt to deliver an event to a webhook, and says what came of it.

Receivers are chosen by the operator, but their names can lead elsewhere later. So private addresses
are refused unless the webhook allows them, by the resolver that the connection itself uses.
Redirects are not followed, and nothing of an answer but its status is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver
from pydantic import SecretStr

from phoenix_compat.tasks.archive.download_hosts import DownloadHosts, GuardedResolver
from phoenix_compat.tasks.archive.errors import HostRefusedError
from phoenix_compat.tasks.model.clock import SystemClock
from phoenix_compat.tasks.standard_webhooks import signature, signing_key
from phoenix_compat.tasks.store.outbox.deliveries import Delivery

TIMEOUT_S: Final = 15.0
"""How long a receiver may take for an answer."""
_MAX_RETRY_AFTER_S: Final = 3_600.0
_SECONDS: Final = re.compile(r"[0-9]{1,6}", re.ASCII)
_GONE: Final = 410
_NO_HOSTS: Final = DownloadHosts(())


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A receiver of events.

    Attributes:
        secret: as Standard Webhooks writes it, "whsec_" and base64.
        events: the states of tasks that it gets.
        allow_private: whether it may be at an address that is not public.
    """

    name: str
    url: str
    secret: SecretStr
    events: frozenset[str]
    allow_private: bool = False


class Outcome(NamedTuple):
    """What came of an attempt.

    Attributes:
        error: why it failed; None if the event was delivered.
        is_gone: whether the receiver wants no more events.
        retry_after_s: how long it wants to be left alone.
    """

    error: str | None = None
    is_gone: bool = False
    retry_after_s: float = 0.0


class WebhookSender:
    """Sends to one webhook.

    Args:
        resolver: finds the addresses of hosts; for tests.
        now: the time that is signed. Receivers refuse events whose time is not the present.
    """

    def __init__(
        self,
        webhook: Webhook,
        *,
        timeout_s: float = TIMEOUT_S,
        resolver: AbstractResolver | None = None,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self._webhook = webhook
        self._key = signing_key(webhook.secret.get_secret_value())
        self._timeout_s = timeout_s
        self._resolver = resolver
        self._now = now or SystemClock().now
        self._session: aiohttp.ClientSession | None = None

    async def send(self, delivery: Delivery) -> Outcome:
        """Make an attempt."""
        timestamp = str(int(self._now().timestamp()))
        raw = delivery.body.encode()
        headers = {
            hdrs.CONTENT_TYPE: "application/json",
            "webhook-id": delivery.id,
            "webhook-timestamp": timestamp,
            "webhook-signature": signature(self._key, delivery.id, timestamp, raw),
        }
        try:
            async with self._opened().post(
                self._webhook.url,
                data=raw,
                headers=headers,
                allow_redirects=False,
            ) as response:
                return _outcome(response)
        except TimeoutError:
            return Outcome(f"no answer within {self._timeout_s:g} s")
        except HostRefusedError as error:
            return Outcome(f"{error}; it needs allow_private = true")
        except aiohttp.ClientSSLError:
            return Outcome("the TLS connection failed")
        except (aiohttp.ClientError, OSError) as error:
            return Outcome(f"the connection failed: {type(error).__name__}")

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            resolver = self._resolver or aiohttp.ThreadedResolver()
            guarded = (
                resolver if self._webhook.allow_private else GuardedResolver(_NO_HOSTS, resolver)
            )
            self._session = aiohttp.ClientSession(
                # Without a cache each connection resolves its host through the guard.
                connector=aiohttp.TCPConnector(resolver=guarded, use_dns_cache=False),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                headers={hdrs.USER_AGENT: "phoenix_compat"},
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            )
        return self._session


def _outcome(response: aiohttp.ClientResponse) -> Outcome:
    status = response.status
    if 200 <= status < 300:
        return Outcome()
    wanted = response.headers.get(hdrs.RETRY_AFTER, "")
    retry_after_s = min(float(wanted), _MAX_RETRY_AFTER_S) if _SECONDS.fullmatch(wanted) else 0.0
    return Outcome(f"answered {status}", status == _GONE, retry_after_s)
