"""The course of a prediction, drawn when it is created. It does not depend on a clock."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from enum import Enum, StrEnum

from phoenix_compat.emulator.settings import EmulatorSettings

# The spread of the running times: about two thirds lie within 35 % of the median.
_RUN_SIGMA = 0.35


class Status(StrEnum):
    """The values of a prediction's `status`. Replicate does not have the last two."""

    STARTING = "starting"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    ABORTED = "aborted"
    QUEUED = "queued"
    EXPIRED = "expired"


class OutputKind(Enum):
    """The output of a success: the model's own, or an unusual one that a fault asks for.

    The values are stored in the state file.
    """

    MODEL = "the model's own"
    NULL = "null"
    EMPTY_LIST = "[]"
    DATA_URL = "a data: URL"
    DICT = "an object"
    TWO_URLS = "a list of two URLs"
    THREE_URLS = "a list of three URLs"
    LONG_TEXT = "a text of 2 500 chunks"
    MANY_TOKENS = "a text of 20 000 tokens, as they are written"
    ODD_TEXT = "a text that is hard to stream, as it is written"
    TRANSCRIPT = "an object with a transcription"
    LABEL = "a label with a score"
    NUMBER = "a number"


class LogsKind(Enum):
    """The content of the logs: the model's own, or an unusual one that a fault asks for.

    The values are stored in the state file.
    """

    MODEL = "the model's own"
    NULL = "null"
    CARRIAGE_RETURNS = "one line, overwritten by \\r"
    HUGE = "5 MB"
    LEFT_OUT = "one picture was filtered and left out"
    BLACK = "the picture was filtered and is black"
    QUOTE = "the prompt, on lines of its own"
    DOWNLOAD = "the bar of a download, which is full at once"


@dataclass(frozen=True, slots=True)
class Schedule:
    """The course of one prediction unless it is canceled.

    The field names are keys of the state file.

    Attributes:
        starting_s, run_s: how long it starts and runs, in seconds; inf means that it never ends.
        ending: the final status. `aborted` comes at the end of starting.
        error: the error text of a failure; may be None. "{prompt}" in it stands for the prompt.
        waiting_status: the status before it runs.
        skew_s: the error of its timestamps, in seconds.
        listed_after_s: how long after its creation the list of predictions shows it.
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


def random_schedule(rng: random.Random, settings: EmulatorSettings, *, is_cold: bool) -> Schedule:
    """A schedule like those of real models: a short start, then a lognormal running time."""
    run_s = rng.lognormvariate(math.log(settings.run_median_s), _RUN_SIGMA)
    run_s = min(max(run_s, settings.run_min_s), settings.run_max_s)
    starting_s = settings.starting_s + (settings.cold_start_s if is_cold else 0.0)
    return Schedule(starting_s=starting_s / settings.speed, run_s=run_s / settings.speed)
