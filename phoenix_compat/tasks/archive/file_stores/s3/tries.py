"""Decides whether a request to an S3 server is sent again, and says why it failed in the end."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

from phoenix_compat.tasks.archive.errors import FileStoreError

_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>([A-Za-z0-9]{1,64})</Code>")
_TEMPORARY_STATUSES: Final = frozenset({"408", "429"})
_MIN_TRY_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """Limits of a request.

    Attributes:
        connect_s: for a connection.
        answer_s: for an answer without a file, and for each block of a file that is read.
        total_s: for a request with its repeats.
        min_bytes_per_s: a file that is sent has more time, by its size.
        max_tries: how often a request is sent.
        retry_first_s: the wait before the second try; it doubles with each try.
    """

    connect_s: float = 2.0
    answer_s: float = 4.0
    total_s: float = 8.0
    min_bytes_per_s: float = 256 * 1024.0
    max_tries: int = 3
    retry_first_s: float = 0.2


class Tries:
    """The tries of one request.

    Args:
        name: of the bucket, for errors.
        kind: of the request.
        more_s: further time for each try.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        limits: RequestLimits,
        counts: Counter[str],
        more_s: float = 0.0,
    ) -> None:
        self._name = name
        self._kind = kind
        self._limits = limits
        self._counts = counts
        self._more_s = more_s
        self._clock = asyncio.get_running_loop().time
        self.begin()

    def begin(self) -> None:
        """Count from here: nothing has been sent, or a part of the answer has arrived."""
        self._failures = 0
        self._ends_at = self._clock() + self._limits.total_s + 2 * self._more_s

    @property
    def timeout_s(self) -> float:
        """The limit for the next answer."""
        left_s = max(self._ends_at - self._clock(), _MIN_TRY_S)
        return min(self._limits.answer_s + self._more_s, left_s)

    def sent(self) -> None:
        """Count a request."""
        self._counts[self._kind] += 1

    async def failed(self, error: BaseException | None) -> None:
        """Wait before the next try.

        Args:
            error: what went wrong; None if an answer ended too early.

        Raises:
            FileStoreError: there is none.
        """
        self._failures += 1
        is_last = self._failures >= self._limits.max_tries or self._clock() >= self._ends_at
        if is_last or not _is_temporary(error):
            raise self.refused(error) from error
        self._counts["retried"] += 1
        wait_s = self._limits.retry_first_s * 2.0 ** (self._failures - 1)
        await asyncio.sleep(wait_s * (0.5 + random.random()))  # noqa: S311 - not a secret

    def refused(self, error: BaseException | None) -> FileStoreError:
        """The error for a request that is not sent again."""
        self._counts["failed"] += 1
        reason = reason_of(error)
        return FileStoreError(f"{self._name}: the request ({self._kind}) failed: {reason}")


def reason_of(error: BaseException | None) -> str:
    """What went wrong, in few words: obstore's texts have pages, with addresses and headers."""
    if error is None:
        return "the answer was cut off"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = str(error)
    status, code = _STATUS.search(text), _CODE.search(text)
    if status is not None:
        return f"status {status[1]}" + (f" ({code[1]})" if code is not None else "")
    return "no connection" if "onnect" in text else type(error).__name__


def _is_temporary(error: BaseException | None) -> bool:
    """Whether the same request may work a moment later."""
    if error is None or isinstance(error, TimeoutError):
        return True
    status = _STATUS.search(str(error))
    if status is None:
        return type(error).__name__ == "GenericError"
    return status[1] >= "500" or status[1] in _TEMPORARY_STATUSES
