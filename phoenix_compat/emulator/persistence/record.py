"""A prediction as a JSON object, and back: what is remembered of it, and what is looked up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from phoenix_compat.emulator.faults.fault_plan import Mark, parse_mark
from phoenix_compat.emulator.json_type import JSON, JsonObject
from phoenix_compat.emulator.predictions.catalog import find_model, model_of_version
from phoenix_compat.emulator.predictions.model import Model
from phoenix_compat.emulator.predictions.prediction import Prediction, WebhookRequest
from phoenix_compat.emulator.problem import ProblemError
from phoenix_compat.emulator.schedule import Schedule


class PredictionRecord(BaseModel):
    """What was ordered and how it will end; its state follows from that and the time.

    Attributes:
        model: `owner/name`; the catalog has the rest. marks: as in `X-Emu-Fault`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[0-9a-z]{26}$")
    model: str = Field(pattern=r"^[^/]+/[^/]+$")
    version: str
    input: JsonObject
    schedule: Schedule
    created_at_s: FiniteFloat
    origin: str
    sequence: int
    deadline_s: FiniteFloat | None
    deployment: str | None
    webhook: WebhookRequest | None
    marks: tuple[str, ...]
    inline_output: str | None
    canceled_at_s: FiniteFloat | None
    is_reported: bool

    @classmethod
    def of(cls, prediction: Prediction, *, is_data_removed: bool = False) -> Self:
        """The record of a prediction; without its input once Replicate would have removed that."""
        return cls(
            id=prediction.id,
            model=prediction.model.full_name,
            version=prediction.version,
            input={} if is_data_removed else prediction.input,
            schedule=prediction.schedule,
            created_at_s=prediction.created_at_s,
            origin=prediction.origin,
            sequence=prediction.sequence,
            deadline_s=prediction.deadline_s,
            deployment=prediction.deployment,
            webhook=prediction.webhook,
            marks=tuple(_word(mark) for mark in prediction.marks),
            inline_output=None if is_data_removed else prediction.inline_output,
            canceled_at_s=prediction.canceled_at_s,
            is_reported=prediction.is_reported,
        )

    def prediction(self) -> Prediction:
        """The prediction. Raises ProblemError: its model or a fault is not known any more."""
        return Prediction(
            id=self.id,
            model=_model(self.model, self.version),
            version=self.version,
            input=self.input,
            schedule=self.schedule,
            created_at_s=self.created_at_s,
            origin=self.origin,
            sequence=self.sequence,
            deadline_s=self.deadline_s,
            deployment=self.deployment,
            webhook=self.webhook,
            marks=tuple(parse_mark(word) for word in self.marks),
            inline_output=self.inline_output,
            canceled_at_s=self.canceled_at_s,
            is_reported=self.is_reported,
        )


@dataclass(slots=True)
class Recollection:
    """What a json log tells.

    Attributes:
        port: where the emulator listened, if it did.
        predictions: by id, in order of creation.
        skipped: how many entries made no sense.
    """

    port: int | None
    predictions: dict[str, Prediction]
    skipped: int = 0


def recollect(entries: Iterable[JSON]) -> Recollection:
    """Go through the entries of a json log, in order; what makes no sense is skipped."""
    told = Recollection(None, {})
    for entry in entries:
        try:
            _apply(entry, told)
        except (ValueError, ProblemError):
            told.skipped += 1
    return told


def _apply(entry: JSON, told: Recollection) -> None:
    known = told.predictions
    match entry:
        case {"created": record}:
            prediction = PredictionRecord.model_validate(record).prediction()
            known.setdefault(prediction.id, prediction)
        case {"canceled": str(prediction_id), "at_s": float(at_s)}:
            if prediction_id in known:
                known[prediction_id].cancel(at_s)
        case {"reported": str(prediction_id)}:
            if prediction_id in known:
                known[prediction_id].is_reported = True
        case {"forgotten": str(prediction_id)}:
            known.pop(prediction_id, None)
        case {"forgotten": None}:
            known.clear()
        case {"port": int(port)} if 0 < port < 2**16:
            told.port = port
        case _:
            raise ValueError("no entry of a json_log")


def _model(full_name: str, version: str) -> Model:
    if version == "hidden":
        return find_model(*full_name.split("/"))
    return model_of_version(f"{full_name}:{version}")[0]


def _word(mark: Mark) -> str:
    return mark.fault.name if mark.times is None else f"{mark.fault.name}x{mark.times}"
