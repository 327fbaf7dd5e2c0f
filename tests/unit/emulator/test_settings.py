"""The settings of an emulator."""

from __future__ import annotations

import pytest

from phoenix_compat.emulator.settings import EmulatorSettings
from phoenix_compat.errors import ConfigError


def test_the_defaults_work() -> None:
    """Nothing needs to be chosen."""
    assert EmulatorSettings().port == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"speed": 0},
        {"creates_per_minute": 0},
        {"retention_s": -1},
        {"max_body_bytes": -1},
        {"max_predictions": 0},
        {"create_burst": 0},
        {"run_min_s": 6},
    ],
)
def test_what_cannot_work_is_refused(wrong: dict[str, float]) -> None:
    """The text names the setting."""
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        EmulatorSettings(**wrong)  # type: ignore[arg-type] # one wrong number at a time


def test_all_mistakes_are_told_at_once() -> None:
    """Two wrong numbers make one error with both names."""
    with pytest.raises(ConfigError, match=r"speed.*starting_s"):
        EmulatorSettings(speed=-1, starting_s=-1)
