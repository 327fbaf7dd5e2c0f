"""Fetches a JSON Web Key Set by its URL, in the background.

The set is fetched at the start, every `REFRESH_S`, and when a token names a key that is not in it,
but then at most once in `MIN_INTERVAL_S`, because anyone can send such tokens. If a fetch fails,
the keys stay, and it is tried again after a pause that doubles each time.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final

import aiohttp
import structlog

from phoenix_compat.background import BackgroundTask
from phoenix_compat.errors import ConfigError
from phoenix_compat.server.auth.errors import AuthUnavailableError
from phoenix_compat.server.auth.jwt.jwt_keys import KeySet, PublicKey, key_set_of

MAX_BODY_BYTES: Final = 256 * 1024
FETCH_TIMEOUT_S: Final = 10.0

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class JwksTimes:
    """How often the set is fetched, and how long a token waits for it.

    Attributes:
        refresh_s: the pause after a fetch.
        min_interval_s: the least time between two fetches because of unknown keys.
        wait_s: how long a token with an unknown key waits for a fetch.
        first_retry_s, last_retry_s: the pauses after fetches that failed.
    """

    refresh_s: float = 600.0
    min_interval_s: float = 30.0
    wait_s: float = 5.0
    first_retry_s: float = 1.0
    last_retry_s: float = 60.0


@dataclass(slots=True)
class JwksCounts:
    """How often the set was fetched, and how often that failed."""

    fetches: int = 0
    failures: int = 0


class JwksUrl:
    """The public keys at a URL; open within an `async with` block.

    Attributes:
        counts: see JwksCounts.
    """

    def __init__(self, url: str, times: JwksTimes | None = None) -> None:
        self.counts = JwksCounts()
        self._url = url
        self._times = times or JwksTimes()
        self._keys: KeySet | None = None
        self._wanted = asyncio.Event()
        self._done = asyncio.Event()
        self._is_pending = True
        self._next_on_demand_s = 0.0
        self._task = BackgroundTask("jwks", self._run)

    async def __aenter__(self) -> JwksUrl:
        self._task.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._task.stop()

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """See PublicKeySource."""
        return (self._task,)

    async def find(self, algorithm: str, kid: str | None) -> PublicKey | None:
        """See PublicKeySource. A token with a key that is not known waits for the next fetch."""
        key = self._known(algorithm, kid)
        if key is None and self._may_wait():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._times.wait_s):
                    await self._done.wait()
            key = self._known(algorithm, kid)
        if key is None and self._keys is None:
            raise AuthUnavailableError("the keys of the token's issuer cannot be fetched")
        return key

    def _known(self, algorithm: str, kid: str | None) -> PublicKey | None:
        return None if self._keys is None else self._keys.get(algorithm, kid)

    def _may_wait(self) -> bool:
        """Whether a fetch is under way; one is begun if it is time for it."""
        now_s = asyncio.get_running_loop().time()
        if not self._is_pending and now_s >= self._next_on_demand_s:
            self._next_on_demand_s = now_s + self._times.min_interval_s
            self._begin()
            self._wanted.set()
        return self._is_pending

    def _begin(self) -> None:
        self._is_pending = True
        self._done.clear()

    async def _run(self) -> None:
        retry_s = self._times.first_retry_s
        while True:
            self._wanted.clear()
            self._begin()
            try:
                is_fetched = await self._fetch()
            finally:
                self._is_pending = False
                self._done.set()
            pause_s = self._times.refresh_s if is_fetched else retry_s
            retry_s = (
                self._times.first_retry_s
                if is_fetched
                else min(2 * retry_s, self._times.last_retry_s)
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wanted.wait()

    async def _fetch(self) -> bool:
        self.counts.fetches += 1
        try:
            self._keys = key_set_of(await _body_of(self._url))
        except (ConfigError, aiohttp.ClientError, OSError, TimeoutError) as error:
            self.counts.failures += 1
            reason = str(error) if isinstance(error, ConfigError) else type(error).__name__
            log.warning("jwks.not_fetched", reason=reason, has_keys=self._keys is not None)
            return False
        return True


async def _body_of(url: str) -> bytes:
    """The body at a URL.

    Raises:
        ConfigError: it is not there, or too large.
        ClientError, OSError, TimeoutError: it cannot be fetched.
    """
    # No redirects: the setting says where the keys are. Uncompressed, so that the limit holds.
    async with (
        aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=FETCH_TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        ) as http,
        http.get(url, allow_redirects=False) as response,
    ):
        if response.status != 200:
            raise ConfigError(f"the address of the key set answers with status {response.status}")
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise ConfigError(f"the key set is larger than {MAX_BODY_BYTES} bytes")
        return bytes(body)
