"""The settings of an emulator."""

from __future__ import annotations

import pytest

from phoenix_compat.emulator.settings import EmulatorSettings
from phoenix_compat.errors import ConfigError


def test_the_defaults_work() -> None:
    """All settings have valid defaults."""
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
def test_invalid_values_are_refused(wrong: dict[str, float]) -> None:
    """The error names the setting."""
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        EmulatorSettings(**wrong)  # type: ignore[arg-type] # one wrong number at a time


def test_all_errors_are_reported_at_once() -> None:
    """Two invalid values give one error with both names."""
    with pytest.raises(ConfigError, match=r"speed.*starting_s"):
        EmulatorSettings(speed=-1, starting_s=-1)
