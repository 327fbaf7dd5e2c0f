"""Decides which requested faults apply, and counts them; `fault_table` says what each one does.

A fault can be requested with `#fault:NAME` or `#fault:NAMExN` in an input text, with the request
header `X-Emu-Fault: NAMExN, NAME`, or for all requests with `arm` (the control route).
"""

from __future__ import annotations

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

# The least recently used counts are dropped; their faults then start again from zero.
_MAX_COUNTS = 10_000


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """A fault that a prompt or a header asks for.

    Attributes:
        times: how often it applies; None means always.
    """

    fault: Fault
    times: int | None = None


@dataclass(slots=True)
class ArmedFault:
    """A fault that is armed for all requests.

    Attributes:
        times_left: how often it still applies; None means until it is cleared.
        rate: the probability that it applies, above 0 and at most 1.
    """

    fault: Fault
    times_left: int | None = None
    rate: float = 1.0


class FaultPlan:
    """Decides at each stage whether a fault applies, and counts.

    Attributes:
        totals: how often each fault has applied, by name.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._armed: list[ArmedFault] = []
        self._uses: OrderedDict[tuple[bytes, str], int] = OrderedDict()
        self.totals: Counter[str] = Counter()

    @property
    def armed(self) -> tuple[ArmedFault, ...]:
        """The faults that are armed and not used up."""
        return tuple(self._armed)

    def arm(self, name: str, times: int | None = None, *, rate: float = 1.0) -> None:
        """Apply a fault to all requests.

        Args:
            times: how often; None means until it is cleared.
            rate: the probability each time.

        Raises:
            ProblemError: 422, if the fault is unknown or a number is out of range.
        """
        if times is not None and times < 1:
            raise invalid_request("times must be at least 1")
        if not 0 < rate <= 1:
            raise invalid_request("rate must be above 0 and at most 1")
        self._armed.append(ArmedFault(fault_named(name), times, rate))

    def clear(self, name: str | None = None) -> None:
        """Disarm one fault, or all (None)."""
        self._armed = [armed for armed in self._armed if name and armed.fault.name != name]

    def pick(self, stage: Stage, fault_specs: Iterable[FaultSpec], scope: str) -> Fault | None:
        """The fault to apply now, or None. It is counted.

        Args:
            scope: where `xN` counts: the prompt of a create, the id of a prediction afterwards.
        """
        for spec in fault_specs:
            if spec.fault.stage is stage and self._use(spec, scope):
                return self._count(spec.fault)
        for armed in self._armed:
            if armed.fault.stage is stage and self._roll(armed):
                return self._count(armed.fault)
        return None

    def pick_all(self, stage: Stage, fault_specs: Iterable[FaultSpec], scope: str) -> list[Fault]:
        """All faults to apply now, for stages where faults combine."""
        faults = [
            spec.fault
            for spec in fault_specs
            if spec.fault.stage is stage and self._use(spec, scope)
        ]
        faults += [
            armed.fault for armed in self.armed if armed.fault.stage is stage and self._roll(armed)
        ]
        return [self._count(fault) for fault in faults]

    def _count(self, fault: Fault) -> Fault:
        self.totals[fault.name] += 1
        return fault

    def _use(self, spec: FaultSpec, scope: str) -> bool:
        if spec.times is None:
            return True
        # A digest, because prompts may be many and megabytes long.
        digest = hashlib.blake2b(scope.encode(errors="surrogatepass"), digest_size=16).digest()
        key = (digest, spec.fault.name)
        uses = self._uses.pop(key, 0)
        self._uses[key] = min(uses + 1, spec.times)
        while len(self._uses) > _MAX_COUNTS:
            self._uses.popitem(last=False)
        return uses < spec.times

    def _roll(self, armed: ArmedFault) -> bool:
        if armed.rate < 1 and self._rng.random() >= armed.rate:
            return False
        if armed.times_left is not None:
            armed.times_left -= 1
            if armed.times_left == 0:
                self._armed.remove(armed)
        return True


def fault_named(name: str) -> Fault:
    """The fault with this name. Raises ProblemError (422) that suggests similar names."""
    fault = FAULTS.get(name)
    if fault is None:
        import difflib  # noqa: PLC0415 - only after a mistake

        near = difflib.get_close_matches(name, FAULTS, n=3)
        hint = (
            f"did you mean {' or '.join(near)}?" if near else "GET /__emu/faults lists all faults."
        )
        raise invalid_request(f"The emulator has no fault {name!r}; {hint}")
    return fault


def parse_fault_spec(text: str) -> FaultSpec:
    """Parse `NAME` or `NAMExN`. Raises ProblemError (422) for an unknown name."""
    counted = _TIMES.fullmatch(text)
    if counted is None:
        return FaultSpec(fault_named(text))
    return FaultSpec(fault_named(counted["name"]), int(counted["times"]))


def fault_specs_in_text(text: str) -> tuple[FaultSpec, ...]:
    """The faults that `#fault:…` words in this text ask for, in order."""
    return tuple(parse_fault_spec(word) for word in _KEYWORD.findall(text))


def fault_specs_in_header(value: str) -> tuple[FaultSpec, ...]:
    """The faults that an `X-Emu-Fault` header asks for, a comma-separated list."""
    return tuple(parse_fault_spec(word.strip()) for word in value.split(",") if word.strip())
