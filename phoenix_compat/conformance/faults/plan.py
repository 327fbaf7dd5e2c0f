"""Parses faults, from a topic or from JSON.

    fault:NAME[:VALUE][:OPTION=…]*         as a topic, e.g. fault:close:1001:after=2s
    {"fault": "NAME", "value": …, …}       as JSON, e.g. {"fault": "close", "value": 1001}

`id=…` in a topic is ignored; it makes several topics with the same fault different.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, Final

from phoenix_compat.errors import PhoenixCompatError

TOPIC_PREFIX: Final = "fault:"
MAX_DELAY_S: Final = 300.0
DEFAULT_AFTER_S: Final = 0.1
"""The default delay between a join and a fault that follows it."""
MAX_COUNT: Final = 10_000

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s)", re.ASCII)
_UNITS: Final = {"ms": 0.001, "s": 1.0}


class FaultError(PhoenixCompatError):
    """A fault is not valid.

    Attributes:
        field: the part that is wrong: `fault`, `value` or the name of an option.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class ValueType(Enum):
    """What kind of value follows a fault's name."""

    NOTHING = "nothing"
    DURATION = "a duration: 500ms, 2s"
    CODE = "a close code: 1000 to 4999"
    STATUS = "an HTTP status: 400 to 599"
    COUNT = f"a count: 1 to {MAX_COUNT}"


class Moment(StrEnum):
    """The moments at which a fault can strike, for faults that have a choice."""

    JOINING = "joining"
    """In place of the reply to a join."""
    JOIN = "join"
    """At a join: the fault changes its reply, or follows the reply after the delay `after`."""
    PUSH = "push"
    """At a push: the fault changes its reply, or replaces it."""


@dataclass(frozen=True, slots=True)
class FaultType:
    """One row of the fault table.

    Attributes:
        does: a sentence for people.
        value: the kind of its value. If the value is left out, `default` applies; a `default` of
            None makes the value required.
        moments: when it can strike, the default first; empty if there is no choice.
        times: how often it strikes by default; None means every time.
        delays: whether it accepts `after`.
        is_for_topics: whether a topic can name it.
        is_for_connections: whether the control API can arm it without a topic.
    """

    name: str
    does: str
    value: ValueType = ValueType.NOTHING
    default: float | None = None
    moments: tuple[Moment, ...] = ()
    times: int | None = None
    delays: bool = False
    is_for_topics: bool = True
    is_for_connections: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault with its value and options.

    Attributes:
        value: seconds, a close code, an HTTP status or a count, depending on the type; else 0.
        after_s: the delay between its moment and the strike.
        times: how often it strikes; None means every time.
    """

    type: FaultType
    value: float = 0.0
    after_s: float = 0.0
    times: int | None = None
    moment: Moment | None = None

    @property
    def name(self) -> str:
        """The name of its type."""
        return self.type.name

    @property
    def code(self) -> int:
        """The value as an integer: a close code, an HTTP status or a count."""
        return int(self.value)

    def check_target(self, *, has_topic: bool) -> None:
        """Raise FaultError if the fault needs a topic and has none, or cannot have one."""
        if not has_topic and not self.type.is_for_connections:
            raise FaultError("topic", f"fault {self.name!r} needs a topic")
        if has_topic and not self.type.is_for_topics:
            raise FaultError("topic", f"fault {self.name!r} strikes connections, not a topic")


@dataclass(slots=True)
class FaultTable:
    """The fault types by name."""

    types: Mapping[str, FaultType] = field(default_factory=dict)

    def from_topic(self, topic: str) -> Fault:
        """The fault that a topic names; `none` for a topic with another prefix.

        Raises:
            FaultError: the fault, its value or an option is not valid.
        """
        if not topic.startswith(TOPIC_PREFIX):
            return Fault(self.types["none"])
        fault = self.from_text(topic.removeprefix(TOPIC_PREFIX))
        if not fault.type.is_for_topics:
            raise FaultError("fault", f"{fault.name} cannot be a topic; use POST /control/faults")
        return fault

    def from_text(self, text: str) -> Fault:
        """Parse `NAME[:VALUE][:OPTION=…]*`. Raises FaultError."""
        name, *parts = text.split(":")
        values = [part for part in parts if "=" not in part]
        if len(values) > 1:
            raise FaultError(
                "value", f"fault {name!r} has more than one value: {', '.join(values)}"
            )
        options: dict[str, Any] = {}
        for part in parts:
            key, separator, option = part.partition("=")
            if separator:
                options[key] = option
        return self._build(name, values[0] if values else None, options)

    def from_json(self, document: Mapping[str, Any]) -> Fault:
        """Parse `{"fault", "value"?, "after"?, "times"?, "on"?}`.

        `fault` may also hold the whole text, as in a topic. Durations are numbers of seconds or
        texts such as `500ms`. Raises FaultError.
        """
        name = document.get("fault")
        if not isinstance(name, str):
            raise FaultError("fault", "'fault' must be a string such as \"close:1011:after=1s\"")
        options = {key: value for key, value in document.items() if key != "fault"}
        if ":" not in name:
            return self._build(name, options.pop("value", None), options)
        if options:
            field = next(iter(options))
            raise FaultError(
                field, f"put {field!r} into the text of 'fault', beside its other options"
            )
        return self.from_text(name)

    def _build(self, name: str, value: Any, options: Mapping[str, Any]) -> Fault:
        fault_type = self._find_type(name)
        known = {"id", "times"} | ({"after"} if fault_type.delays else set())
        known |= {"on"} if fault_type.moments else set()
        for option in options:
            if option not in known:
                raise FaultError(
                    option, f"fault {name!r} has no option {option!r}; it has {_words(known)}"
                )
        moment = _read_moment(fault_type, options.get("on"))
        return Fault(
            fault_type,
            _read_value(fault_type, value),
            _read_after(fault_type, moment, options.get("after")),
            _read_times(fault_type, moment, options.get("times")),
            moment,
        )

    def _find_type(self, name: str) -> FaultType:
        found = self.types.get(name)
        if found is None:
            near = difflib.get_close_matches(name, self.types, n=2)
            hint = (
                f"did you mean {' or '.join(near)}?" if near else "GET /control/faults lists them"
            )
            raise FaultError("fault", f"there is no fault {name!r}; {hint}")
        return found


def _read_value(fault_type: FaultType, value: Any) -> float:
    if fault_type.value is ValueType.NOTHING:
        if value is not None:
            raise FaultError("value", f"fault {fault_type.name!r} takes no value, got {value!r}")
        return 0.0
    if value is None:
        if fault_type.default is None:
            raise FaultError("value", f"fault {fault_type.name!r} needs {fault_type.value.value}")
        return fault_type.default
    if fault_type.value is ValueType.DURATION:
        return _read_duration("value", value)
    low, high = {
        ValueType.CODE: (1000, 4999),
        ValueType.STATUS: (400, 599),
        ValueType.COUNT: (1, MAX_COUNT),
    }[fault_type.value]
    return _read_int("value", value, low, high)


def _read_after(fault_type: FaultType, moment: Moment | None, value: Any) -> float:
    if value is not None:
        return _read_duration("after", value)
    follows = fault_type.delays and moment in {None, Moment.JOIN}
    return DEFAULT_AFTER_S if follows else 0.0


def _read_duration(field: str, value: Any) -> float:
    """The seconds in `500ms`, `2s` or a plain number of seconds."""
    seconds: float | None = None
    if isinstance(value, str):
        found = _DURATION.fullmatch(value)
        seconds = None if found is None else float(found[1]) * _UNITS[found[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    if seconds is None or not 0 <= seconds <= MAX_DELAY_S:
        raise FaultError(
            field, f"{field!r} must be a duration of 0 to {MAX_DELAY_S:.0f} s, not {value!r}"
        )
    return seconds


def _read_times(fault_type: FaultType, moment: Moment | None, value: Any) -> int | None:
    if value is None:
        # A fault in the reply to a join strikes once, or the client could never join.
        return fault_type.times if fault_type.times is not None or moment is not Moment.JOIN else 1
    return None if value == "always" else _read_int("times", value, 1, MAX_COUNT)


def _read_moment(fault_type: FaultType, value: Any) -> Moment | None:
    if value is None:
        return fault_type.moments[0] if fault_type.moments else None
    for moment in fault_type.moments:
        if value == moment.value:
            return moment
    raise FaultError("on", f"'on' must be {_words(fault_type.moments)}, not {value!r}")


def _read_int(field: str, value: Any, low: int, high: int) -> int:
    text = str(value)
    if isinstance(value, bool) or not text.isascii() or not text.isdigit():
        raise FaultError(field, f"{field!r} must be a whole number, not {value!r}")
    number = int(text[:9])
    if not low <= number <= high:
        raise FaultError(field, f"{field!r} must be {low} to {high}, not {text[:20]}")
    return number


def _words(words: Any) -> str:
    return ", ".join(sorted(str(word) for word in words))
