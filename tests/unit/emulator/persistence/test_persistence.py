"""What an emulator saves, and what a rewrite keeps."""

from __future__ import annotations

from pathlib import Path

from phoenix_compat.emulator.persistence.persistence import Persistence
from phoenix_compat.emulator.predictions.prediction_store import PredictionStore
from tests.unit.emulator.factories import CREATED_AT_S, make_prediction

HOUR_S = 3600.0


async def test_without_a_file_nothing_is_saved() -> None:
    """Most tests use no state file: each call returns at once."""
    persistence = Persistence(None, PredictionStore(10), HOUR_S)

    restored = await persistence.restore()
    persistence.created(make_prediction())
    persistence.start(4000, CREATED_AT_S)
    await persistence.flush()
    await persistence.close()

    assert (restored.port, restored.predictions) == (None, {})


async def test_saved_predictions_and_the_port_are_restored(tmp_path: Path) -> None:
    """The file is rewritten at the start, and later events are appended."""
    first = Persistence(tmp_path / "m", PredictionStore(10), HOUR_S)
    await first.restore()
    first.start(4000, CREATED_AT_S)
    prediction = make_prediction()
    first.created(prediction)
    first.reported(prediction, CREATED_AT_S + 20)
    await first.close()

    second = Persistence(tmp_path / "m", PredictionStore(10), HOUR_S)
    restored = await second.restore()
    await second.close()

    assert restored.port == 4000
    assert list(restored.predictions.values()) == [prediction]
    assert prediction.is_reported


async def test_a_rewrite_leaves_out_prompts_older_than_an_hour(tmp_path: Path) -> None:
    """The retention time of finished predictions applies to the file too."""
    prediction_store = PredictionStore(10)
    prediction_store.add(make_prediction(given={"prompt": "a secret"}), CREATED_AT_S)
    texts: list[str] = []
    for age_s in (HOUR_S - 1, HOUR_S):
        persistence = Persistence(tmp_path / "m", prediction_store, HOUR_S)
        await persistence.restore()
        persistence.start(4000, CREATED_AT_S + age_s)
        await persistence.close()
        texts.append((tmp_path / "m").read_text())

    assert ["a secret" in text for text in texts] == [True, False]
    assert all('"created"' in text for text in texts)


async def test_a_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """The header line is part of the file format; a file without it would be set aside."""
    path = tmp_path / "m"
    path.write_text('{"journal": "phoenix-compat emulator", "version": 1}\n{"port": 4000}\n')

    persistence = Persistence(path, PredictionStore(10), HOUR_S)
    restored = await persistence.restore()
    await persistence.close()

    assert restored.port == 4000
    assert not path.with_name("m.odd").exists()
