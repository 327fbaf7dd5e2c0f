"""The webhook events that a change causes."""

from __future__ import annotations

from phoenix_compat.emulator.json_type import JSON, JsonObject
from phoenix_compat.emulator.webhook_events import DEFAULT_EVENTS, EVENTS, WebhookEventDetector


def document(status: str, output: JSON = None, logs: str = "") -> JsonObject:
    return {"status": status, "output": output, "logs": logs}


def test_a_complete_run() -> None:
    """Start, logs, output and completed each come once, in this order."""
    detector = WebhookEventDetector(EVENTS)

    events = [
        detector.detect(document("starting"), 0),
        detector.detect(document("processing"), 1),
        detector.detect(document("processing", logs="50%"), 2),
        detector.detect(document("processing", output="url", logs="50%"), 3),
        detector.detect(document("succeeded", output="url", logs="100%"), 4),
        detector.detect(document("succeeded", output="url", logs="100%"), 5),
    ]

    assert events == [[], ["start"], ["logs"], ["output"], ["completed"], []]


def test_logs_and_output_are_throttled() -> None:
    """Within half a second only the first change causes an event; the next one covers the rest."""
    detector = WebhookEventDetector(EVENTS)
    detector.detect(document("processing"), 1)

    events = [
        detector.detect(document("processing", logs=f"{n}%"), 1 + n / 10) for n in range(1, 8)
    ]

    assert events == [["logs"], [], [], [], [], ["logs"], []]


def test_completed_is_not_throttled() -> None:
    """The end is reported within the throttling time."""
    detector = WebhookEventDetector(EVENTS)
    detector.detect(document("processing", logs="1"), 1)

    assert detector.detect(document("failed"), 1.1) == ["completed"]


def test_the_default_events() -> None:
    """Without a filter the events are output and completed."""
    detector = WebhookEventDetector(DEFAULT_EVENTS)

    events = [
        detector.detect(document("processing"), 1),
        detector.detect(document("processing", logs="1"), 2),
        detector.detect(document("processing", output="url", logs="1"), 3),
        detector.detect(document("succeeded", output="url", logs="2"), 4),
    ]

    assert events == [[], [], ["output"], ["completed"]]


def test_an_unwanted_change_does_not_throttle_a_wanted_one() -> None:
    """A change of the logs that is filtered out does not delay the next output."""
    detector = WebhookEventDetector(frozenset({"output"}))
    detector.detect(document("processing", logs="1"), 1)

    assert detector.detect(document("processing", output="url", logs="1"), 1.1) == ["output"]
