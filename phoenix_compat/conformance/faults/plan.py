"""What a fault is, and how one is asked for.

    fault:NAME[:VALUE][:OPTION=…]*         as a topic, e.g. fault:close:1001:after=2s
    {"fault": "NAME", "value": …, …}       as JSON, e.g. {"fault": "close", "value": 1001}

A topic may also carry `id=…`, which means nothing and makes topics of one fault different.
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
"""How long a fault that follows a join leaves the client alone, unless told."""
MAX_COUNT: Final = 10_000

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s)", re.ASCII)
_UNITS: Final = {"ms": 0.001, "s": 1.0}


class FaultError(PhoenixCompatError):
    """A fault was asked for in words that make no sense.

    Attributes:
        field: which part is wrong: `fault`, `value` or the name of an option.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Value(Enum):
    """What stands after a fault's name."""

    NOTHING = "nothing"
    DURATION = "a duration: 500ms, 2s"
    CODE = "a close code: 1000 to 4999"
    STATUS = "an HTTP status: 400 to 599"
    COUNT = f"a count: 1 to {MAX_COUNT}"


class Moment(StrEnum):
    """When a fault strikes that can strike at several moments."""

    JOINING = "joining"
    """In place of the reply to a join."""
    JOIN = "join"
    """At a join: its reply is spoiled, or the fault follows it after `after`."""
    PUSH = "push"
    """At a push: its reply is spoiled, or the fault comes in its place."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the fault table.

    Attributes:
        does: a sentence for people.
        value: what its value is; `default` stands for one that is left out, None demands one.
        moments: when it can strike, the usual moment first; empty where there is no choice.
        times: how often it strikes, unless told; None is always.
        delays: whether it takes `after`.
        is_for_topics: whether a topic can ask for it.
        is_for_connections: whether the control API can let it strike without a topic.
    """

    name: str
    does: str
    value: Value = Value.NOTHING
    default: float | None = None
    moments: tuple[Moment, ...] = ()
    times: int | None = None
    delays: bool = False
    is_for_topics: bool = True
    is_for_connections: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that was asked for.

    Attributes:
        value: seconds, code, status or count, as its kind has it; 0 for none.
        after_s: how long after its moment it strikes.
        times: how often it strikes; None is always.
    """

    kind: Kind
    value: float = 0.0
    after_s: float = 0.0
    times: int | None = None
    moment: Moment | None = None

    @property
    def name(self) -> str:
        """The name in the table."""
        return self.kind.name

    @property
    def code(self) -> int:
        """The value as a close code, an HTTP status or a count."""
        return int(self.value)


@dataclass(slots=True)
class Table:
    """The faults by name."""

    kinds: Mapping[str, Kind] = field(default_factory=dict)

    def from_topic(self, topic: str) -> Fault:
        """The fault that a topic names; `none` for a topic of another prefix.

        Raises:
            FaultError: no such fault, value or option.
        """
        if not topic.startswith(TOPIC_PREFIX):
            return Fault(self.kinds["none"])
        fault = self.from_text(topic.removeprefix(TOPIC_PREFIX))
        if not fault.kind.is_for_topics:
            raise FaultError("fault", f"{fault.name} is armed with POST /control/faults, no topic")
        return fault

    def from_text(self, text: str) -> Fault:
        """Read `NAME[:VALUE][:OPTION=…]*`. Raises FaultError."""
        name, *parts = text.split(":")
        values = [part for part in parts if "=" not in part]
        if len(values) > 1:
            raise FaultError("value", f"fault {name!r} got several values: {', '.join(values)}")
        options: dict[str, Any] = {}
        for part in parts:
            key, separator, option = part.partition("=")
            if separator:
                options[key] = option
        return self._build(name, values[0] if values else None, options)

    def from_json(self, document: Mapping[str, Any]) -> Fault:
        """Read `{"fault", "value"?, "after"?, "times"?, "on"?}`; `fault` may be the whole text.

        Durations are seconds as numbers, or text as in topics. Raises FaultError.
        """
        name = document.get("fault")
        if not isinstance(name, str):
            raise FaultError("fault", "'fault' must be a text such as \"close:1011:after=1s\"")
        options = {key: value for key, value in document.items() if key != "fault"}
        if ":" not in name:
            return self._build(name, options.pop("value", None), options)
        if options:
            field = next(iter(options))
            raise FaultError(field, f"{field!r} must stand in the text, as the other options do")
        return self.from_text(name)

    def _build(self, name: str, value: Any, options: Mapping[str, Any]) -> Fault:
        kind = self._kind(name)
        known = {"id", "times"} | ({"after"} if kind.delays else set())
        known |= {"on"} if kind.moments else set()
        for option in options:
            if option not in known:
                raise FaultError(
                    option, f"fault {name!r} has no option {option!r}; it takes {_words(known)}"
                )
        moment = _read_moment(kind, options.get("on"))
        return Fault(
            kind,
            _read_value(kind, value),
            _read_after(kind, moment, options.get("after")),
            _read_times(kind, moment, options.get("times")),
            moment,
        )

    def _kind(self, name: str) -> Kind:
        kind = self.kinds.get(name)
        if kind is None:
            near = difflib.get_close_matches(name, self.kinds, n=2)
            hint = (
                f"did you mean {' or '.join(near)}?" if near else "GET /control/faults lists them"
            )
            raise FaultError("fault", f"there is no fault {name!r}; {hint}")
        return kind


def _read_value(kind: Kind, value: Any) -> float:
    if kind.value is Value.NOTHING:
        if value is not None:
            raise FaultError("value", f"fault {kind.name!r} takes no value, got {value!r}")
        return 0.0
    if value is None:
        if kind.default is None:
            raise FaultError("value", f"fault {kind.name!r} needs {kind.value.value}")
        return kind.default
    if kind.value is Value.DURATION:
        return _read_duration("value", value)
    low, high = {
        Value.CODE: (1000, 4999),
        Value.STATUS: (400, 599),
        Value.COUNT: (1, MAX_COUNT),
    }[kind.value]
    return _read_int("value", value, low, high)


def _read_after(kind: Kind, moment: Moment | None, value: Any) -> float:
    if value is not None:
        return _read_duration("after", value)
    follows = kind.delays and moment in {None, Moment.JOIN}
    return DEFAULT_AFTER_S if follows else 0.0


def _read_duration(field: str, value: Any) -> float:
    """Seconds of `500ms`, `2s` or a number of seconds."""
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


def _read_times(kind: Kind, moment: Moment | None, value: Any) -> int | None:
    if value is None:
        # A spoiled reply to a join strikes once, or the client would never be in.
        return kind.times if kind.times is not None or moment is not Moment.JOIN else 1
    return None if value == "always" else _read_int("times", value, 1, MAX_COUNT)


def _read_moment(kind: Kind, value: Any) -> Moment | None:
    if value is None:
        return kind.moments[0] if kind.moments else None
    for moment in kind.moments:
        if value == moment.value:
            return moment
    raise FaultError("on", f"'on' must be {_words(kind.moments)}, not {value!r}")


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
