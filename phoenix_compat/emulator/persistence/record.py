"""Converts predictions to JSON objects and back, and replays the entries of a state file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from phoenix_compat.emulator.faults.fault_plan import FaultSpec, parse_fault_spec
from phoenix_compat.emulator.json_type import JSON, JsonObject
from phoenix_compat.emulator.predictions.catalog import find_model, model_of_version
from phoenix_compat.emulator.predictions.model import Model
from phoenix_compat.emulator.predictions.prediction import Prediction, WebhookRequest
from phoenix_compat.emulator.problem import ProblemError
from phoenix_compat.emulator.schedule import Schedule


class PredictionRecord(BaseModel):
    """A prediction as a JSON object. The field names are keys of the state file.

    Attributes:
        model: `owner/name`; the rest of the model comes from the catalog.
        script: the prediction's schedule.
        marks: the requested faults, written as in `X-Emu-Fault`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    id: str = Field(pattern=r"^[0-9a-z]{26}$")
    model: str = Field(pattern=r"^[^/]+/[^/]+$")
    version: str
    input: JsonObject
    script: Schedule
    created_at_s: FiniteFloat
    origin: str
    sequence: int
    deadline_s: FiniteFloat | None
    deployment: str | None
    webhook: WebhookRequest | None
    marks: tuple[str, ...]
    inline_output: str | None
    subject: str | None = None
    canceled_at_s: FiniteFloat | None
    is_reported: bool

    @classmethod
    def of(cls, prediction: Prediction, *, is_data_removed: bool = False) -> Self:
        """The record of a prediction. `is_data_removed`: leave its input and output out."""
        return cls(
            id=prediction.id,
            model=prediction.model.full_name,
            version=prediction.version,
            input={} if is_data_removed else prediction.input,
            script=prediction.schedule,
            created_at_s=prediction.created_at_s,
            origin=prediction.origin,
            sequence=prediction.sequence,
            deadline_s=prediction.deadline_s,
            deployment=prediction.deployment,
            webhook=prediction.webhook,
            marks=tuple(_fault_spec_text(spec) for spec in prediction.fault_specs),
            inline_output=None if is_data_removed else prediction.inline_output,
            subject=None if is_data_removed else prediction.subject,
            canceled_at_s=prediction.canceled_at_s,
            is_reported=prediction.is_reported,
        )

    def prediction(self) -> Prediction:
        """The prediction. Raises ProblemError when its model or a fault no longer exists."""
        return Prediction(
            id=self.id,
            model=_model(self.model, self.version),
            version=self.version,
            input=self.input,
            schedule=self.script,
            created_at_s=self.created_at_s,
            origin=self.origin,
            sequence=self.sequence,
            deadline_s=self.deadline_s,
            deployment=self.deployment,
            webhook=self.webhook,
            fault_specs=tuple(parse_fault_spec(text) for text in self.marks),
            inline_output=self.inline_output,
            subject=self.subject,
            canceled_at_s=self.canceled_at_s,
            is_reported=self.is_reported,
        )


@dataclass(slots=True)
class RestoredState:
    """What a state file holds.

    Attributes:
        port: the port on which the emulator listened; None when the file has none.
        predictions: by id, in order of creation.
        skipped: how many entries were invalid.
    """

    port: int | None
    predictions: dict[str, Prediction]
    skipped: int = 0


def replay(entries: Iterable[JSON]) -> RestoredState:
    """Apply the entries of a state file in order; invalid ones are skipped and counted."""
    restored = RestoredState(None, {})
    for entry in entries:
        try:
            _apply(entry, restored)
        except (ValueError, ProblemError):
            restored.skipped += 1
    return restored


def _apply(entry: JSON, restored: RestoredState) -> None:
    known = restored.predictions
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
            restored.port = port
        case _:
            raise ValueError("not an entry of a state file")


def _model(full_name: str, version: str) -> Model:
    if version == "hidden":
        return find_model(*full_name.split("/"))
    return model_of_version(f"{full_name}:{version}")[0]


def _fault_spec_text(spec: FaultSpec) -> str:
    return spec.fault.name if spec.times is None else f"{spec.fault.name}x{spec.times}"
