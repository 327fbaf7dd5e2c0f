"""Builds test values for the emulator's unit tests."""

from __future__ import annotations

from typing import Any

from phoenix_compat.emulator.predictions.catalog import model_of_version
from phoenix_compat.emulator.predictions.prediction import Prediction
from phoenix_compat.emulator.schedule import Schedule

CREATED_AT_S = 1_000_000.0
PREDICTION_ID = "20z778rke5rm80crb5982z0m1g"


def make_prediction(
    model: str = "google/imagen-4-fast",
    schedule: Schedule | None = None,
    given: dict[str, Any] | None = None,
    **changes: Any,
) -> Prediction:
    """A prediction created at CREATED_AT_S that starts after 1 s and runs for 10 s."""
    found, version = model_of_version(model)
    fields: dict[str, Any] = {
        "id": PREDICTION_ID,
        "origin": "http://127.0.0.1:1",
        "sequence": 1,
        "created_at_s": CREATED_AT_S,
    }
    return Prediction(
        model=found,
        version=version,
        input=given or {"prompt": "Medieval monk"},
        schedule=schedule or Schedule(starting_s=1.0, run_s=10.0),
        **fields | changes,
    )
