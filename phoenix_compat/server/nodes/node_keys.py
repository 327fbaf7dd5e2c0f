"""The API keys of a server with equal nodes: each node has all of them in memory.

A node that creates or revokes a key tells the others, which read the keys again and close the
sockets of those that are gone. Until a node has read them after such a hint, it decides nothing
about keys: a lookup waits. Hints may be lost, so each node also reads the keys every `READ_S`, and
when it may have missed one.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from dataclasses import dataclass
from typing import Final

import structlog

from phoenix_compat.background import BackgroundTask
from phoenix_compat.cluster import Bus, NodeListener
from phoenix_compat.cluster.bus import CallError
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.server.auth.keys.api_keys import ApiKey, is_key
from phoenix_compat.server.auth.keys.key_store import KeyStore
from phoenix_compat.server.auth.keys.revoked_sockets import close_sockets, keys_with_sockets
from phoenix_compat.tasks.model.errors import StoreUnavailableError

READ_S: Final = 30.0
"""How long a key that was revoked may still work in a node that hears nothing."""
WAIT_S: Final = 5.0
"""How long a lookup waits for keys that are being read."""
_RETRY_S: Final = 0.5

CHANGED: Final = "keys.changed"
"""The cast that a node, or a command, sends after a change of keys."""
_LENT: Final = "keys.lent"
_SHARE_TIMEOUT_S: Final = 1.0

log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class NodeKeyCounts:
    """What has happened since the start.

    Attributes:
        hints: changes of other nodes that arrived.
        reads: how often the keys were read again.
        failed_reads: how often that failed.
    """

    hints: int = 0
    reads: int = 0
    failed_reads: int = 0


class NodeKeys(NodeListener):
    """Looks keys up in one node; see ApiKeys.

    Args:
        keys: the keys of this node; the caller starts and stops them.
        secret: the secret that the nodes share, with which they sign keys that they lend.
        read_s, wait_s: see READ_S and WAIT_S.
    """

    def __init__(  # noqa: PLR0913 - its collaborators, and times with defaults
        self,
        keys: KeyStore,
        endpoint: Endpoint,
        bus: Bus,
        *,
        secret: str,
        read_s: float = READ_S,
        wait_s: float = WAIT_S,
    ) -> None:
        self.counts = NodeKeyCounts()
        self._keys = keys
        self._endpoint = endpoint
        self._bus = bus
        self._secret = secret.encode()
        self._read_s = read_s
        self._wait_s = wait_s
        self._is_read = asyncio.Event()
        self._is_read.set()
        self._must_read = asyncio.Event()
        self._reading = BackgroundTask("keys-read", self._run)
        keys.when_changed(self._announce)
        bus.on_cast(CHANGED, self._receive)
        bus.on_call(_LENT, self._answer_lent)
        bus.listen(self)

    def start(self) -> None:
        """Begin to read the keys again; they have been read once."""
        self._reading.start()

    async def stop(self) -> None:
        """Stop reading."""
        await self._reading.stop()

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """The task that reads."""
        return (self._reading,)

    async def find(self, key: str) -> ApiKey | None:
        """See ApiKeys."""
        if not self._is_read.is_set() and is_key(key):
            try:
                async with asyncio.timeout(self._wait_s):
                    await self._is_read.wait()
            except TimeoutError:
                raise StoreUnavailableError(
                    "the API keys have changed, and cannot be read"
                ) from None
        return await self._keys.find(key)

    async def share_lent(self, sha256: str) -> None:
        """Let a key that was lent here work in the nodes that are up."""
        body = self._signed(sha256)
        calls = (
            self._bus.call(node, _LENT, body, on_reply=bytes, timeout_s=_SHARE_TIMEOUT_S)
            for node in self._bus.up
        )
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(outcome, CallError):
                log.info("key.not_shared", reason=str(outcome))

    async def _answer_lent(self, _node: int, body: bytes) -> bytes:
        sha256 = body.decode().partition(".")[0]
        if not hmac.compare_digest(body, self._signed(sha256)):
            raise CallError("it is not signed by a node of this server")
        self._keys.lent.add(sha256)
        return b""

    def _signed(self, sha256: str) -> bytes:
        """The hash of a key, and that a node of this server has said so."""
        signature = hmac.digest(self._secret, b"lent:" + sha256.encode(), "sha256").hex()
        return f"{sha256}.{signature}".encode()

    # Called by the bus, and by the keys of this node.

    def up(self, node: int) -> None:
        """Read again: earlier hints of the node are unknown."""
        del node
        self._must_read.set()

    def gap(self, node: int) -> None:
        """Read again: hints of the node were lost."""
        del node
        self._must_read.set()

    def _announce(self, name: str) -> None:
        """A key was created or revoked here, or its revocation is announced again."""
        self._bus.cast(CHANGED, name.encode())
        if not self._keys.is_live(name):
            close_sockets(self._endpoint, name)

    def _receive(self, _node: int, _body: bytes) -> None:
        self.counts.hints += 1
        self._is_read.clear()
        self._must_read.set()

    async def _run(self) -> None:
        while True:
            # asyncio.wait_for of Python 3.11 ignores a cancel that comes with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._read_s):
                    await self._must_read.wait()
            self._must_read.clear()
            try:
                replaced = await self._keys.read_again()
            except StoreUnavailableError as error:
                self.counts.failed_reads += 1
                log.warning("keys.read_failed", reason=str(error))
                self._must_read.set()
                await asyncio.sleep(_RETRY_S)
                continue
            self.counts.reads += 1
            if not self._must_read.is_set():
                self._is_read.set()
            self._close_gone(replaced)

    def _close_gone(self, replaced: frozenset[str]) -> None:
        """Close the sockets of keys that were revoked, also if another key has the name now."""
        for name in keys_with_sockets(self._endpoint):
            if name in replaced or not self._keys.is_live(name):
                close_sockets(self._endpoint, name)
