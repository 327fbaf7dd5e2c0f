"""All predictions this emulator remembers, newest last, never more than a given number."""

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
    """A page of the list. The cursors are None where there is nothing further."""

    predictions: tuple[Prediction, ...]
    next_cursor: str | None
    previous_cursor: str | None


class PredictionStore:
    """The predictions by id, in order of creation."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._by_id: dict[str, Prediction] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self._by_id.values())

    def add(self, prediction: Prediction, now_s: float) -> Prediction | None:
        """Remember it. Returns the one that had to go for it, if one had."""
        self._by_id[prediction.id] = prediction
        if len(self._by_id) <= self._capacity:
            return None
        # The oldest finished one goes; when all are at work, simply the oldest.
        oldest = next(iter(self._by_id.values()))
        finished = (kept for kept in self if kept.at(now_s).is_over)
        gone = next(finished, oldest)
        del self._by_id[gone.id]
        return gone

    def find(self, prediction_id: str) -> Prediction | None:
        """The prediction of this id."""
        return self._by_id.get(prediction_id)

    def forget(self, prediction_id: str | None = None) -> int:
        """Forget this one, or all. Returns how many went."""
        if prediction_id is not None:
            return 0 if self._by_id.pop(prediction_id, None) is None else 1
        gone = len(self._by_id)
        self._by_id.clear()
        return gone

    def page(
        self,
        now_s: float,
        *,
        cursor: str | None = None,
        created_after_s: float | None = None,
        created_before_s: float | None = None,
    ) -> Page:
        """A page of the predictions that the list shows by now, newest first.

        The bounds are inclusive and compare with `created_at` as reported.

        Raises:
            ProblemError: 422, the cursor is none of ours.
        """
        listed = [
            prediction
            for prediction in reversed(self._by_id.values())
            if prediction.created_at_s + prediction.schedule.listed_after_s <= now_s
            and _is_between(prediction, created_after_s, created_before_s)
        ]
        shown = listed[:PAGE_SIZE] if cursor is None else _turn_to(cursor, listed)
        if not shown:
            return Page((), None, None)
        has_older = listed[-1].sequence < shown[-1].sequence
        has_newer = listed[0].sequence > shown[0].sequence
        return Page(
            tuple(shown),
            _cursor(shown[-1].sequence, "older") if has_older else None,
            _cursor(shown[0].sequence, "newer") if has_newer else None,
        )


def _turn_to(cursor: str, listed: list[Prediction]) -> list[Prediction]:
    sequence, is_older = _read_cursor(cursor)
    if is_older:
        return [one for one in listed if one.sequence < sequence][:PAGE_SIZE]
    return [one for one in listed if one.sequence > sequence][-PAGE_SIZE:]


def _is_between(prediction: Prediction, after_s: float | None, before_s: float | None) -> bool:
    # Compared to the millisecond, because that is all a client can know of created_at.
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
    raise invalid_request("cursor: this cursor was not given out here")
