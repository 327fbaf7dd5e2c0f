"""Faults are parsed from topics and from JSON."""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat.conformance.faults.plan import Fault, FaultError, Moment
from phoenix_compat.conformance.faults.table import FAULTS


def fields_of(fault: Fault) -> tuple[Any, ...]:
    """The parts of a fault that tests compare."""
    return fault.name, fault.value, fault.after_s, fault.times, fault.moment


@pytest.mark.parametrize(
    ("topic", "wanted"),
    [
        ("room:lobby", ("none", 0, 0, None, None)),
        ("fault:none:id=7", ("none", 0, 0, None, None)),
        ("fault:close:1001:after=2s", ("close", 1001, 2.0, 1, Moment.JOIN)),
        ("fault:close:4999:times=always:on=push", ("close", 4999, 0, None, Moment.PUSH)),
        ("fault:late:500ms", ("late", 0.5, 0, None, Moment.PUSH)),
        ("fault:late:1.5s:on=join", ("late", 1.5, 0, 1, Moment.JOIN)),
        ("fault:never:on=join:times=3", ("never", 0, 0, 3, Moment.JOIN)),
        ("fault:refuse_joins", ("refuse_joins", 3, 0, None, None)),
        ("fault:crash", ("crash", 0, 0.1, 1, Moment.JOIN)),
        ("fault:crash:on=joining", ("crash", 0, 0, 1, Moment.JOINING)),
        ("fault:outage:403:times=2", ("outage", 403, 0.1, 2, None)),
        ("fault:restart", ("restart", 2.0, 0.1, 1, None)),
    ],
)
def test_topics(topic: str, wanted: tuple[Any, ...]) -> None:
    """A topic names the fault, its value and its options; the rest has defaults."""
    assert fields_of(FAULTS.from_topic(topic)) == wanted


@pytest.mark.parametrize(
    ("topic", "field", "words"),
    [
        ("fault:", "fault", "there is no fault ''"),
        ("fault:clsoe:1001", "fault", "did you mean close?"),
        ("fault:close", "value", "needs a close code"),
        ("fault:close:999", "value", "must be 1000 to 4999"),
        ("fault:close:1e3", "value", "must be a whole number"),
        ("fault:close:1001:1002", "value", "more than one value"),
        ("fault:crash:1001", "value", "takes no value"),
        ("fault:late:5", "value", "must be a duration"),
        ("fault:late:301s", "value", "0 to 300 s"),
        ("fault:late:\u0665s", "value", "must be a duration"),
        ("fault:drop:times=0", "times", "must be 1 to 10000"),
        ("fault:drop:times=99999999999999999999", "times", "must be 1 to 10000"),
        ("fault:drop:on=sunday", "on", "join, joining, push"),
        ("fault:never:after=1s", "after", "has no option 'after'; it has id, on, times"),
        ("fault:refuse_upgrades:503", "fault", "POST /control/faults"),
    ],
)
def test_invalid_topics(topic: str, field: str, words: str) -> None:
    """The error names the field and says what is allowed."""
    with pytest.raises(FaultError) as caught:
        FAULTS.from_topic(topic)

    assert caught.value.field == field
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "document",
    [
        {"fault": "close:1011:after=1s:times=2"},
        {"fault": "close", "value": 1011, "after": "1s", "times": 2},
        {"fault": "close", "value": "1011", "after": 1, "times": "2", "on": "join"},
    ],
)
def test_json(document: dict[str, Any]) -> None:
    """JSON can hold the text of a topic, or one field for each part."""
    assert fields_of(FAULTS.from_json(document)) == ("close", 1011, 1.0, 2, Moment.JOIN)


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "fault"),
        ({"fault": 1}, "fault"),
        ({"fault": "close", "value": True}, "value"),
        ({"fault": "close", "value": [1011]}, "value"),
        ({"fault": "drop", "after": -1}, "after"),
        ({"fault": "drop", "after": True}, "after"),
        ({"fault": "drop", "when": "now"}, "when"),
        ({"fault": "close:1011", "times": 2}, "times"),
    ],
)
def test_invalid_json(document: dict[str, Any], field: str) -> None:
    """The error names the field."""
    with pytest.raises(FaultError) as caught:
        FAULTS.from_json(document)

    assert caught.value.field == field


def test_every_fault_can_be_asked_for() -> None:
    """Every fault type can be used by a topic or by the control API."""
    unreachable = [
        kind.name
        for kind in FAULTS.types.values()
        if not kind.is_for_topics and not kind.is_for_connections
    ]

    assert unreachable == []
