"""Stores the predictions of an emulator in order of creation, up to a maximum number."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass

from phoenix_compat.emulator.predictions.prediction import Prediction
from phoenix_compat.emulator.problem import invalid_request

PAGE_SIZE = 100


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the list. A cursor is None when there is no further page."""

    predictions: tuple[Prediction, ...]
    next_cursor: str | None
    previous_cursor: str | None


class PredictionStore:
    """The predictions by id, oldest first.

    Args:
        capacity: the maximum number of predictions.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._by_id: dict[str, Prediction] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self._by_id.values())

    def add(self, prediction: Prediction, now_s: float) -> Prediction | None:
        """Store a prediction. Returns the one that was evicted for it, or None."""
        self._by_id[prediction.id] = prediction
        if len(self._by_id) <= self._capacity:
            return None
        # Evict the oldest finished one, or the oldest when none has finished.
        oldest = next(iter(self._by_id.values()))
        finished = (stored for stored in self if stored.at(now_s).is_over)
        evicted = next(finished, oldest)
        del self._by_id[evicted.id]
        return evicted

    def find(self, prediction_id: str) -> Prediction | None:
        """The prediction with this id, or None."""
        return self._by_id.get(prediction_id)

    def forget(self, prediction_id: str | None = None) -> int:
        """Delete one prediction, or all (None). Returns how many there were."""
        if prediction_id is not None:
            return 0 if self._by_id.pop(prediction_id, None) is None else 1
        count = len(self._by_id)
        self._by_id.clear()
        return count

    def page(
        self,
        now_s: float,
        *,
        cursor: str | None = None,
        created_after_s: float | None = None,
        created_before_s: float | None = None,
    ) -> Page:
        """A page of the predictions that are listed at this time, newest first.

        The bounds are inclusive and are compared with the reported `created_at`.

        Raises:
            ProblemError: 422, the cursor is invalid.
        """
        listed = [
            prediction
            for prediction in reversed(self._by_id.values())
            if prediction.created_at_s + prediction.schedule.listed_after_s <= now_s
            and _is_between(prediction, created_after_s, created_before_s)
        ]
        shown = listed[:PAGE_SIZE] if cursor is None else _page_at(cursor, listed)
        if not shown:
            return Page((), None, None)
        has_older = listed[-1].sequence < shown[-1].sequence
        has_newer = listed[0].sequence > shown[0].sequence
        return Page(
            tuple(shown),
            _cursor(shown[-1].sequence, "older") if has_older else None,
            _cursor(shown[0].sequence, "newer") if has_newer else None,
        )


def _page_at(cursor: str, listed: list[Prediction]) -> list[Prediction]:
    sequence, is_older = _read_cursor(cursor)
    if is_older:
        return [one for one in listed if one.sequence < sequence][:PAGE_SIZE]
    return [one for one in listed if one.sequence > sequence][-PAGE_SIZE:]


def _is_between(prediction: Prediction, after_s: float | None, before_s: float | None) -> bool:
    # Compared in milliseconds, the precision of `created_at` that clients see.
    created_ms = round((prediction.created_at_s + prediction.schedule.skew_s) * 1000)
    if after_s is not None and created_ms < round(after_s * 1000):
        return False
    return before_s is None or created_ms <= round(before_s * 1000)


def _cursor(sequence: int, direction: str) -> str:
    return base64.urlsafe_b64encode(f"{direction}:{sequence}".encode()).decode()


def _read_cursor(cursor: str) -> tuple[int, bool]:
    try:
        direction, _, sequence = base64.urlsafe_b64decode(cursor).decode().partition(":")
        if direction in ("older", "newer"):
            return int(sequence), direction == "older"
    except (binascii.Error, ValueError):
        pass
    raise invalid_request("cursor: not a valid cursor; use the `next` or `previous` URL of a page")
