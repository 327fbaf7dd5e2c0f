"""What will become of a prediction, decided when it is created; it knows no clock."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from enum import Enum, StrEnum

from phoenix_compat.emulator.settings import EmulatorSettings

# How the running times spread: about two thirds lie within 35 % of the median.
_RUN_SIGMA = 0.35


class Status(StrEnum):
    """The words of a prediction's `status`; the last two are none of Replicate's."""

    STARTING = "starting"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    ABORTED = "aborted"
    QUEUED = "queued"
    EXPIRED = "expired"


class OutputKind(Enum):
    """What a success brings: the model's own output, or an oddity in its place."""

    MODEL = "the model's own"
    NULL = "null"
    EMPTY_LIST = "[]"
    DATA_URL = "a data: URL"
    DICT = "an object"
    TWO_URLS = "a list of two URLs"


class LogsKind(Enum):
    """What the logs hold: the model's own, or an oddity in their place."""

    MODEL = "the model's own"
    NULL = "null"
    CARRIAGE_RETURNS = "one line, overwritten by \\r"
    HUGE = "5 MB"


@dataclass(frozen=True, slots=True)
class Schedule:
    """The course of one prediction, unless someone cancels it.

    Attributes:
        starting_s, run_s: how long it starts and runs, in seconds; inf means for ever.
        ending: the status it comes to. `aborted` comes at the end of starting.
        error: the text that goes with a failure; None is allowed even then.
        waiting_status: what it is called before it runs.
        skew_s: how far its timestamps are off.
        listed_after_s: how long the list of predictions does not show it.
    """

    starting_s: float
    run_s: float
    ending: Status = Status.SUCCEEDED
    error: str | None = None
    output: OutputKind = OutputKind.MODEL
    logs: LogsKind = LogsKind.MODEL
    waiting_status: Status = Status.STARTING
    skew_s: float = 0.0
    listed_after_s: float = 0.0


def ordinary_schedule(
    dice: random.Random, settings: EmulatorSettings, *, is_cold: bool
) -> Schedule:
    """A course as real models take it: a short start, then a lognormal run."""
    run_s = dice.lognormvariate(math.log(settings.run_median_s), _RUN_SIGMA)
    run_s = min(max(run_s, settings.run_min_s), settings.run_max_s)
    starting_s = settings.starting_s + (settings.cold_start_s if is_cold else 0.0)
    return Schedule(starting_s=starting_s / settings.speed, run_s=run_s / settings.speed)
