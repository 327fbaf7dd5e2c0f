"""What an emulator notes, and what it writes anew."""

from __future__ import annotations

from pathlib import Path

from phoenix_compat.emulator.persistence.persistence import Persistence
from phoenix_compat.emulator.predictions.prediction_store import PredictionStore
from tests.unit.emulator.making import CREATED_AT_S, make_prediction

HOUR_S = 3600.0


async def test_without_a_file_nothing_is_noted_and_nobody_waits() -> None:
    """The emulator of most tests: each call returns at once."""
    memory = Persistence(None, PredictionStore(10), HOUR_S)

    told = await memory.recall()
    memory.created(make_prediction())
    memory.begin(4000, CREATED_AT_S)
    await memory.settled()
    await memory.close()

    assert (told.port, told.predictions) == (None, {})


async def test_what_was_noted_is_recalled_with_the_port(tmp_path: Path) -> None:
    """Written anew at the start, added to afterwards."""
    first = Persistence(tmp_path / "m", PredictionStore(10), HOUR_S)
    await first.recall()
    first.begin(4000, CREATED_AT_S)
    prediction = make_prediction()
    first.created(prediction)
    first.reported(prediction, CREATED_AT_S + 20)
    await first.close()

    second = Persistence(tmp_path / "m", PredictionStore(10), HOUR_S)
    told = await second.recall()
    await second.close()

    assert told.port == 4000
    assert list(told.predictions.values()) == [prediction]
    assert prediction.is_reported


async def test_a_prompt_is_not_written_anew_after_an_hour(tmp_path: Path) -> None:
    """Replicate removes the data of what is over, and so does the file."""
    prediction_store = PredictionStore(10)
    prediction_store.add(make_prediction(given={"prompt": "a secret"}), CREATED_AT_S)
    texts: list[str] = []
    for age_s in (HOUR_S - 1, HOUR_S):
        memory = Persistence(tmp_path / "m", prediction_store, HOUR_S)
        await memory.recall()
        memory.begin(4000, CREATED_AT_S + age_s)
        await memory.close()
        texts.append((tmp_path / "m").read_text())

    assert ["a secret" in text for text in texts] == [True, False]
    assert all('"created"' in text for text in texts)
