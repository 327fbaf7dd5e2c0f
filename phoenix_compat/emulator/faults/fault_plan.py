"""Which faults have been asked for, and how often each still strikes; the table says what they do.

Asked for in three ways: `#fault:NAME` or `#fault:NAMExN` in an input text, the request header
`X-Emu-Fault: NAMExN, NAME`, and armed for everybody through `arm` (the control route).
"""

from __future__ import annotations

import difflib
import hashlib
import random
import re
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from phoenix_compat.emulator.faults.fault import Fault, Stage
from phoenix_compat.emulator.faults.fault_table import FAULTS
from phoenix_compat.emulator.problem import invalid_request

_KEYWORD = re.compile(r"#fault:(\w+)")
_TIMES = re.compile(r"(?P<name>\w+?)x(?P<times>\d+)")

# Counts of prompts seen longest ago are dropped; their faults then strike afresh.
_MAX_COUNTS = 10_000


@dataclass(frozen=True, slots=True)
class Mark:
    """One request for a fault. `times` None: always."""

    fault: Fault
    times: int | None = None


@dataclass(slots=True)
class Armed:
    """A fault armed for everybody.

    Attributes:
        times_left: how often it still strikes; None is until cleared.
        rate: the chance that it strikes when it could, 0 to 1.
    """

    fault: Fault
    times_left: int | None = None
    rate: float = 1.0


class FaultPlan:
    """Decides at each stage whether a fault strikes, and keeps count."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._armed: list[Armed] = []
        self._struck: OrderedDict[tuple[bytes, str], int] = OrderedDict()
        self.totals: Counter[str] = Counter()

    @property
    def armed(self) -> tuple[Armed, ...]:
        """What is armed for everybody and not used up."""
        return tuple(self._armed)

    def arm(self, name: str, times: int | None = None, *, rate: float = 1.0) -> None:
        """Let a fault strike everybody: `times` times or until cleared, each time at this chance.

        Raises:
            ProblemError: 422, no such fault, or a number out of range.
        """
        if times is not None and times < 1:
            raise invalid_request("times must be at least 1")
        if not 0 < rate <= 1:
            raise invalid_request("rate must be above 0 and at most 1")
        self._armed.append(Armed(fault_named(name), times, rate))

    def clear(self, name: str | None = None) -> None:
        """Disarm this fault, or all."""
        self._armed = [armed for armed in self._armed if name and armed.fault.name != name]

    def pick(self, stage: Stage, marks: Iterable[Mark], scope: str) -> Fault | None:
        """The fault that strikes now, or None; it counts as struck.

        Args:
            scope: what `xN` counts within: the prompt for a create, the prediction afterwards.
        """
        for mark in marks:
            if mark.fault.stage is stage and self._use(mark, scope):
                return self._strike(mark.fault)
        for armed in self._armed:
            if armed.fault.stage is stage and self._roll(armed):
                return self._strike(armed.fault)
        return None

    def pick_all(self, stage: Stage, marks: Iterable[Mark], scope: str) -> list[Fault]:
        """Every fault that strikes now: for stages where they combine."""
        struck = [m.fault for m in marks if m.fault.stage is stage and self._use(m, scope)]
        struck += [a.fault for a in self.armed if a.fault.stage is stage and self._roll(a)]
        return [self._strike(fault) for fault in struck]

    def _strike(self, fault: Fault) -> Fault:
        self.totals[fault.name] += 1
        return fault

    def _use(self, mark: Mark, scope: str) -> bool:
        if mark.times is None:
            return True
        # A digest, because a prompt may be megabytes long and there may be many.
        digest = hashlib.blake2b(scope.encode(errors="surrogatepass"), digest_size=16).digest()
        key = (digest, mark.fault.name)
        struck = self._struck.pop(key, 0)
        self._struck[key] = min(struck + 1, mark.times)
        while len(self._struck) > _MAX_COUNTS:
            self._struck.popitem(last=False)
        return struck < mark.times

    def _roll(self, armed: Armed) -> bool:
        if armed.rate < 1 and self._dice.random() >= armed.rate:
            return False
        if armed.times_left is not None:
            armed.times_left -= 1
            if armed.times_left == 0:
                self._armed.remove(armed)
        return True


def fault_named(name: str) -> Fault:
    """The row of this name. Raises ProblemError (422) that suggests near ones."""
    fault = FAULTS.get(name)
    if fault is None:
        near = difflib.get_close_matches(name, FAULTS, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "GET /__emu/faults lists them."
        raise invalid_request(f"The emulator has no fault {name!r}; {hint}")
    return fault


def parse_mark(text: str) -> Mark:
    """`NAME` or `NAMExN` as a mark. Raises ProblemError (422) for an unknown name."""
    counted = _TIMES.fullmatch(text)
    if counted is None:
        return Mark(fault_named(text))
    return Mark(fault_named(counted["name"]), int(counted["times"]))


def marks_in_text(text: str) -> tuple[Mark, ...]:
    """The marks that `#fault:…` words in this text ask for, in order."""
    return tuple(parse_mark(word) for word in _KEYWORD.findall(text))


def marks_in_header(value: str) -> tuple[Mark, ...]:
    """The marks of an `X-Emu-Fault` header: a comma-separated list."""
    return tuple(parse_mark(word.strip()) for word in value.split(",") if word.strip())
