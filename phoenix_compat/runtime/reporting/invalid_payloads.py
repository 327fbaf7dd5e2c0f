"""Answers messages whose payload does not have the type of their handler."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from phoenix_compat.channel import Channel
from phoenix_compat.protocol.message import Message
from phoenix_compat.result import Result
from phoenix_compat.runtime.limits import Counters
from phoenix_compat.runtime.reporting.limited_log import LimitedLog
from phoenix_compat.typed_payload import InvalidPayloadError, type_name

log = logging.getLogger(__name__)


class InvalidPayloads:
    """Counts such messages; logs those without a ref, whose client cannot be told.

    There is at most one line in `limited_log.PAUSE_S`. It names what the server declares, and
    nothing that a client has sent.

    Args:
        counters: `invalid_payloads` of it is raised.
        now_s: a monotonic clock.
    """

    def __init__(self, counters: Counters, now_s: Callable[[], float] = time.monotonic) -> None:
        self._counters = counters
        self._log = LimitedLog(log, now_s)

    def refuse_join(self, error: InvalidPayloadError) -> Result:
        """Count a join, and return its reply."""
        self._counters.invalid_payloads += 1
        return error.result

    def answer(
        self, channel: Channel, message: Message, error: InvalidPayloadError
    ) -> Result | None:
        """Count a message, and return its reply; None if it is dropped, because it has no ref."""
        self._counters.invalid_payloads += 1
        if message.ref is not None:
            return error.result
        expected = channel.payload_types[message.event].declared
        self._log.warn(
            "dropped a message without a ref: %s has @on(%r, %s), and the payload does not fit",
            type(channel).__name__,
            message.event,
            type_name(expected),
        )
        return None
