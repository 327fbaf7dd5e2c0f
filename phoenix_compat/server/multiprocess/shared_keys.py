"""The API keys of a server with several processes: the leader has them, the others ask it.

An answer is remembered for 5 s. A revocation goes over the bus at once: every process forgets its
answers and closes the sockets of the key. The bus keeps the order, so an answer that was given
before a revocation never arrives after it. A process that may have missed a revocation asks the
leader about all keys that have sockets in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog

from phoenix_compat.background import BackgroundTask
from phoenix_compat.cluster.bus import Bus, CallError
from phoenix_compat.cluster.node_listener import NodeListener
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.server.auth.keys.api_keys import ApiKey, is_key, sha256_of
from phoenix_compat.server.auth.keys.key_store import KeyStore
from phoenix_compat.server.auth.keys.remembered_keys import RememberedKeys
from phoenix_compat.server.auth.keys.revoked_sockets import close_sockets, keys_with_sockets
from phoenix_compat.server.multiprocess.leader import FIND_TIMEOUT_S, ROLE, Leader
from phoenix_compat.tasks.model.errors import StoreUnavailableError

MAX_WAITING: Final = 10_000
"""The limit for keys that are being asked for; further lookups fail."""

_REVOKED: Final = "key.revoked"
_FIND: Final = "key.find"
_LIVE: Final = "key.live"
_BATCH: Final = 500
_RETRY_S: Final = 0.1

log = structlog.stdlib.get_logger(__name__)

_hashes_decoder: Final = msgspec.json.Decoder(list[str])
_answers_decoder: Final = msgspec.json.Decoder(list[ApiKey | None])
_names_decoder: Final = msgspec.json.Decoder(list[str])


@dataclass(slots=True)
class SharedKeyCounts:
    """What was asked.

    Attributes:
        asked: keys that the leader was asked for.
        refused: lookups that failed because `MAX_WAITING` others were waiting.
    """

    asked: int = 0
    refused: int = 0


class SharedKeys(NodeListener):
    """Looks keys up in one process of several; see ApiKeys.

    Args:
        keys: the keys, if this process becomes the leader.
    """

    def __init__(self, keys: KeyStore, endpoint: Endpoint, bus: Bus) -> None:
        self.counts = SharedKeyCounts()
        self._keys = keys
        self._endpoint = endpoint
        self._bus = bus
        self._leader: Leader | None = None
        self._known_leader: int | None = None
        self._remembered = RememberedKeys()
        self._waiting: dict[str, asyncio.Future[ApiKey | None]] = {}
        self._asking = BackgroundTask("key-lookups", self._ask_for_all, is_endless=False)
        self._checking: BackgroundTask | None = None

    def begin(self, leader: Leader) -> None:
        """Register with the bus."""
        self._leader = leader
        self._keys.when_revoked(self._announce)
        self._bus.on_cast(_REVOKED, self._receive)
        self._bus.on_call(_FIND, self._answer_find)
        self._bus.on_call(_LIVE, self._answer_live)
        self._bus.listen(self)

    async def stop(self) -> None:
        """Stop asking; those who wait get an error."""
        await self._asking.stop()
        if self._checking is not None:
            await self._checking.stop()
        for sha256 in tuple(self._waiting):
            self._fail(sha256, StoreUnavailableError("the server is stopping"))

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """The background tasks that are running."""
        tasks = (self._asking,) if self._checking is None else (self._asking, self._checking)
        return tuple(task for task in tasks if task.is_running)

    async def find(self, key: str) -> ApiKey | None:
        """See ApiKeys."""
        if self._keys.is_open:
            return await self._keys.find(key)
        if not is_key(key):
            return None
        sha256 = sha256_of(key)
        answer = self._remembered.get(sha256, _now_s())
        return answer.key if answer is not None else await self._ask(sha256)

    # Asking the leader. Lookups of the same key share one question, and many share one call.

    async def _ask(self, sha256: str) -> ApiKey | None:
        waiting = self._waiting.get(sha256)
        if waiting is None:
            if len(self._waiting) >= MAX_WAITING:
                self.counts.refused += 1
                raise StoreUnavailableError(f"{MAX_WAITING} keys are being looked up already")
            waiting = asyncio.get_running_loop().create_future()
            self._waiting[sha256] = waiting
            self._asking.start()
        return await asyncio.shield(waiting)

    async def _ask_for_all(self) -> None:
        """Ask until nobody waits."""
        while self._waiting:
            hashes = list(self._waiting)[:_BATCH]
            self.counts.asked += len(hashes)
            try:
                await self._ask_leader(hashes)
            except StoreUnavailableError as error:
                for sha256 in hashes:
                    self._fail(sha256, error)

    async def _ask_leader(self, hashes: Sequence[str]) -> None:
        """Answer those who wait for these keys, in whichever process the keys are.

        Raises:
            StoreUnavailableError: no process could answer.
        """
        assert self._leader is not None  # noqa: S101 - `begin` comes before clients
        body = msgspec.json.encode(hashes)
        deadline_s = _now_s() + FIND_TIMEOUT_S

        def take(reply: bytes) -> None:
            """Take the reply as it arrives: a revocation may be the next message."""
            for sha256, key in zip(hashes, _answers_decoder.decode(reply), strict=True):
                self._remembered.put(sha256, key, _now_s())
                waiting = self._waiting.pop(sha256)
                if not waiting.done():
                    waiting.set_result(key)

        while True:
            node = await self._leader.find(max(deadline_s - _now_s(), 0.0))
            try:
                if node == self._bus.node:
                    take(await self._answer_find(node, body))
                else:
                    await self._bus.call(node, _FIND, body, on_reply=take)
            except (CallError, StoreUnavailableError) as error:
                if _now_s() > deadline_s:
                    raise StoreUnavailableError(str(error)) from error
                await asyncio.sleep(_RETRY_S)
            else:
                return

    def _fail(self, sha256: str, error: StoreUnavailableError) -> None:
        waiting = self._waiting.pop(sha256, None)
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)
            waiting.exception()  # whoever waited for it may be gone

    async def _answer_find(self, _node: int, body: bytes) -> bytes:
        if not self._keys.is_open:
            raise StoreUnavailableError("another process has the API keys")
        return msgspec.json.encode(
            [self._keys.find_hash(sha256) for sha256 in _hashes_decoder.decode(body)]
        )

    # Revocations.

    def _announce(self, name: str) -> None:
        """The leader has revoked a key."""
        self._bus.cast(_REVOKED, name.encode())
        close_sockets(self._endpoint, name)

    def _receive(self, _node: int, body: bytes) -> None:
        self._remembered.clear()
        close_sockets(self._endpoint, body.decode())

    def gap(self, node: int) -> None:
        """Check all sockets if messages of the leader were lost."""
        if node == self._bus.holder(ROLE):
            self._check_sockets()

    def roles_changed(self, node: int) -> None:
        """Check all sockets when there is a new leader: the old one's last messages may be lost."""
        del node
        leader = self._bus.holder(ROLE)
        if leader not in {None, self._known_leader}:
            self._check_sockets()
        self._known_leader = leader

    def _check_sockets(self) -> None:
        self._remembered.clear()
        if self._checking is not None:
            self._checking.cancel()
        self._checking = BackgroundTask("key-sockets", self._check_all, is_endless=False)
        self._checking.start()

    async def _check_all(self) -> None:
        names = keys_with_sockets(self._endpoint)
        for start in range(0, len(names), _BATCH):
            asked = names[start : start + _BATCH]
            for name in set(asked) - set(await self._live_ones(asked)):
                close_sockets(self._endpoint, name)

    async def _live_ones(self, names: Sequence[str]) -> list[str]:
        """Those of these keys that are not revoked; asks until some process answers."""
        assert self._leader is not None  # noqa: S101 - `begin` comes before clients
        body = msgspec.json.encode(names)
        while True:
            try:
                node = await self._leader.find()
                if node == self._bus.node:
                    return _names_decoder.decode(await self._answer_live(node, body))
                return await self._bus.call(node, _LIVE, body, on_reply=_names_decoder.decode)
            except (CallError, StoreUnavailableError) as error:
                log.warning("key.check_failed", reason=str(error))
                await asyncio.sleep(_RETRY_S)

    async def _answer_live(self, _node: int, body: bytes) -> bytes:
        if not self._keys.is_open:
            raise StoreUnavailableError("another process has the API keys")
        return msgspec.json.encode(
            [name for name in _names_decoder.decode(body) if self._keys.is_live(name)]
        )


def _now_s() -> float:
    return asyncio.get_running_loop().time()
