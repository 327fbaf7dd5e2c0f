"""Decides which webhook events a change of a prediction causes; it sends nothing."""

from __future__ import annotations

from phoenix_compat.emulator.json_type import JsonObject

_THROTTLE_S = 0.5
EVENTS = frozenset({"start", "output", "logs", "completed"})
DEFAULT_EVENTS = frozenset({"output", "completed"})

_RUNNING = "processing"
_WAITING = frozenset({"starting", "queued"})


class WebhookEventDetector:
    """Compares successive documents of one prediction and names the events between them.

    `start` and `completed` are never held back; `output` and `logs` come at most every 500 ms.
    """

    def __init__(self, events: frozenset[str]) -> None:
        self._events = events
        self._last: JsonObject = {"status": "starting", "output": None, "logs": ""}
        self._throttled_until_s = 0.0

    def detect(self, document: JsonObject, now_s: float) -> list[str]:
        """The events to send now for this document, each at most once."""
        last, events = self._last, []
        status = document["status"]
        if status == _RUNNING and last["status"] in _WAITING:
            events.append("start")
            last["status"] = status
        is_over = status not in _WAITING and status != _RUNNING
        if not is_over and now_s >= self._throttled_until_s:
            changed = [key for key in ("output", "logs") if document[key] != last[key]]
            wanted = [key for key in changed if key in self._events]
            if wanted:
                self._throttled_until_s = now_s + _THROTTLE_S
                last.update({key: document[key] for key in changed})
                events += wanted
        if is_over and last["status"] != status:
            events.append("completed")
            last["status"] = status
        return [event for event in events if event in self._events]
