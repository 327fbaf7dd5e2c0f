"""The limits of tests: those of a quiet machine, times what this one makes of them."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import patience
from tests.conftest import pytest_timeout_set_timer
from tests.patience import MAX_FACTOR, ShareMeter, factor, patient

MS = 1_000_000


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine of usual speed with nothing else to do."""
    monkeypatch.setattr(patience, "processor_slowness", lambda: 1.0)
    monkeypatch.setattr(patience, "_meter", SimpleNamespace(slowdown=lambda: 1.0))
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    return monkeypatch


def test_on_a_quiet_machine_limits_are_as_they_are_written(quiet: pytest.MonkeyPatch) -> None:
    """Nothing grows, and a fast machine makes no limit shorter."""
    quiet.setattr(patience, "processor_slowness", lambda: 0.25)

    assert patient(5.0) == 5.0


@pytest.mark.parametrize(
    ("slowness", "waiting", "load", "expected"),
    [(2.0, 1.0, 0.0, 2.0), (1.0, 6.0, 2.0, 6.0), (1.0, 2.0, 9.0, 9.0), (1.5, 4.0, 2.0, 6.0)],
)
def test_limits_grow_with_a_slow_processor_and_with_who_shares_it(
    quiet: pytest.MonkeyPatch, slowness: float, waiting: float, load: float, expected: float
) -> None:
    """The speed of the processor, times the larger of what was waited for it and its load."""
    quiet.setattr(patience, "processor_slowness", lambda: slowness)
    quiet.setattr(patience, "_meter", SimpleNamespace(slowdown=lambda: waiting))
    quiet.setattr(os, "cpu_count", lambda: 2)
    quiet.setattr(os, "getloadavg", lambda: (load * 2, 0.0, 0.0))

    assert factor() == expected
    assert patient(0.5) == 0.5 * expected


def test_no_limit_grows_without_end(quiet: pytest.MonkeyPatch) -> None:
    """What hangs still fails, however much there is to do."""
    quiet.setattr(os, "getloadavg", lambda: (1e6, 0.0, 0.0))

    assert factor() == MAX_FACTOR


def test_the_share_is_that_since_the_start_or_that_of_late(tmp_path: Path) -> None:
    """Whichever is worse; moments in which hardly anything ran do not count."""
    source = tmp_path / "schedstat"
    meter = ShareMeter(source)

    seen = []
    for ran_ms, waited_ms in [(100, 100), (200, 1_000), (201, 1_100), (1_200, 1_100)]:
        source.write_text(f"{ran_ms * MS} {waited_ms * MS} 7\n")
        seen.append(meter.slowdown())

    assert seen[:2] == [2.0, 10.0]
    assert seen[2] == 10.0
    assert seen[3] == pytest.approx(1.0 + 1_100 / 1_200)


@pytest.mark.parametrize("text", [None, "", "unknown"])
def test_where_the_share_is_not_counted_there_is_none(tmp_path: Path, text: str | None) -> None:
    """Other systems have no such file: then the load alone counts."""
    source = tmp_path / "schedstat"
    if text is not None:
        source.write_text(text)

    assert ShareMeter(source).slowdown() == 1.0


def test_the_time_limit_of_a_test_grows_too(
    quiet: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """pytest-timeout is given the patient limit."""
    given: list[float] = []
    plugin: Any = request.config.pluginmanager.get_plugin("timeout")
    quiet.setattr(
        plugin,
        "pytest_timeout_set_timer",
        lambda _item, settings: given.append(settings.timeout),
    )
    quiet.setattr(patience, "processor_slowness", lambda: 3.0)
    settings = plugin._get_item_settings(request.node)._replace(timeout=60.0)

    pytest_timeout_set_timer(request.node, settings)

    assert given == [180.0]
