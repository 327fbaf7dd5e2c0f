"""Asks the provider at the start whether it accepts the token, which costs nothing.

Without this, a wrong token would be found by the first task of a client. The server does not wait
for the answer: where the network is slow or gone, it is asked a few times more, and then no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from phoenix_compat.background import BackgroundTask
from phoenix_compat.tasks.model.errors import (
    ProviderError,
    ProviderRefusedError,
    ProviderThrottledError,
)
from phoenix_compat.tasks.provider.replicate.replicate import ReplicateProvider

ANSWER_TIMEOUT_S: Final = 10.0
PAUSES_S: Final = (5.0, 30.0, 120.0)
"""The pauses before further attempts, if there was no answer."""
_REMEDY: Final = "make a new one at replicate.com/account/api-tokens, and restart the server"

log = structlog.stdlib.get_logger(__name__)


class TokenCheck:
    """One check.

    Args:
        refused: called if the provider refuses the token.
        pauses_s: see PAUSES_S.

    Attributes:
        attempts: how often it has asked.
    """

    def __init__(
        self,
        provider: ReplicateProvider,
        refused: Callable[[], None],
        *,
        timeout_s: float = ANSWER_TIMEOUT_S,
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        self.attempts = 0
        self._provider = provider
        self._refused = refused
        self._timeout_s = timeout_s
        self._pauses_s = pauses_s
        self._background = BackgroundTask("token-check", self._run, is_endless=False)

    def start(self) -> None:
        """Begin to ask."""
        self._background.start()

    async def stop(self) -> None:
        """Ask no more."""
        await self._background.stop()

    async def _run(self) -> None:
        for pause_s in (0.0, *self._pauses_s):
            await asyncio.sleep(pause_s)
            if await self._is_answered():
                return
        log.warning("provider.token_unchecked", attempts=self.attempts)

    async def _is_answered(self) -> bool:
        self.attempts += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._provider.account()
        except ProviderRefusedError as error:
            status = error.status
        except ProviderThrottledError:
            return True  # it knows the token
        except (TimeoutError, ProviderError):
            return False
        else:
            log.info("provider.token_accepted")
            return True
        log.error("provider.token_refused", status=status, remedy=_REMEDY)
        self._refused()
        return True
