"""Which changes are worth a webhook."""

from __future__ import annotations

from phoenix_compat.emulator.json_type import JSON, JsonObject
from phoenix_compat.emulator.webhook_watch import DEFAULT_EVENTS, EVENTS, WebhookWatch


def document(status: str, output: JSON = None, logs: str = "") -> JsonObject:
    return {"status": status, "output": output, "logs": logs}


def test_a_whole_life() -> None:
    """Start, logs, output and completed each come once, in the order in which they happen."""
    watch = WebhookWatch(EVENTS)

    seen = [
        watch.look(document("starting"), 0),
        watch.look(document("processing"), 1),
        watch.look(document("processing", logs="50%"), 2),
        watch.look(document("processing", output="url", logs="50%"), 3),
        watch.look(document("succeeded", output="url", logs="100%"), 4),
        watch.look(document("succeeded", output="url", logs="100%"), 5),
    ]

    assert seen == [[], ["start"], ["logs"], ["output"], ["completed"], []]


def test_logs_and_output_are_throttled() -> None:
    """Within half a second only the first change is told; the next after it tells the rest."""
    watch = WebhookWatch(EVENTS)
    watch.look(document("processing"), 1)

    seen = [watch.look(document("processing", logs=f"{n}%"), 1 + n / 10) for n in range(1, 8)]

    assert seen == [["logs"], [], [], [], [], ["logs"], []]


def test_a_throttled_ending_is_told_at_once() -> None:
    """Completed is never held back."""
    watch = WebhookWatch(EVENTS)
    watch.look(document("processing", logs="1"), 1)

    assert watch.look(document("failed"), 1.1) == ["completed"]


def test_the_default_events() -> None:
    """Without a filter there are output and completed, and nothing else."""
    watch = WebhookWatch(DEFAULT_EVENTS)

    seen = [
        watch.look(document("processing"), 1),
        watch.look(document("processing", logs="1"), 2),
        watch.look(document("processing", output="url", logs="1"), 3),
        watch.look(document("succeeded", output="url", logs="2"), 4),
    ]

    assert seen == [[], [], ["output"], ["completed"]]


def test_an_unwanted_change_does_not_throttle_a_wanted_one() -> None:
    """Logs that nobody asked for leave the next output alone."""
    watch = WebhookWatch(frozenset({"output"}))
    watch.look(document("processing", logs="1"), 1)

    assert watch.look(document("processing", output="url", logs="1"), 1.1) == ["output"]
