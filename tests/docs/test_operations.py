"""docs/operations.md agrees with the code: commands, log lines, figures and settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from phoenix_compat.cli import cli
from phoenix_compat.server.process.config.reload import CHANGEABLE
from tests.benchmarks.cases.shipping import FOLDER, HEADER, ONE_FILE, VENV

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "operations.md").read_text()
MEASURED = "".join(
    (ROOT / "docs" / f"{name}.md").read_text() for name in ("performance", "workers")
)
FIGURES = r"\d+ MB \| \d+ ms \| \d\.\d\d s \| \d+ MiB \|"
LOG_LINE = re.compile(r"log\.(?:debug|info|warning|error|exception)\(\s*\"([a-z]+\.[a-z_]+)\"")


def log_lines() -> set[str]:
    """Return the events of all log lines of the package."""
    return {
        name
        for path in (ROOT / "phoenix_compat").rglob("*.py")
        for name in LOG_LINE.findall(path.read_text())
    }


@pytest.mark.parametrize("name", sorted(log_lines()))
def test_every_log_line_is_explained(name: str) -> None:
    """Each log event of the package is in the table."""
    assert f"`{name}`" in TEXT


def test_no_unknown_log_line_is_explained() -> None:
    """Each event in the table is a log event of the package."""
    table = TEXT.partition("| line |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`([a-z]+\.[a-z_]+)`", table))

    assert named - log_lines() == set()


@pytest.mark.parametrize("name", sorted({*cli.commands} - {"demo", "conformance"}))
def test_every_command_is_named(name: str) -> None:
    """The page names each command for operators."""
    assert re.search(rf"(?:`|phoenix-compat ){name}\b", TEXT)


def test_settings_that_apply_on_reload_are_listed() -> None:
    """The page lists the settings that a running server can change."""
    sentence = TEXT.partition("These settings apply on reload:")[2].partition(".")[0]

    assert set(re.findall(r"`(\w+)`", sentence)) == CHANGEABLE


@pytest.mark.parametrize("figure", ["107 900", "1.67", "55 to 70 MB", "about 40 µs"])
def test_figures_are_the_measured_ones(figure: str) -> None:
    """Each figure of the capacity table is also on the page that describes its measurement."""
    assert figure in TEXT
    assert figure in MEASURED


def test_the_table_of_packages_is_that_of_the_benchmark() -> None:
    """The table has the header and rows that the benchmark prints, and deploy.md links to it."""
    table = TEXT.partition(HEADER)[2].partition("\n\n")[0].splitlines()[2:]
    deploy = (ROOT / "docs" / "deploy.md").read_text()

    assert [line.split(" | ")[0].removeprefix("| ") for line in table] == [ONE_FILE, FOLDER, VENV]
    assert all(re.fullmatch(FIGURES, line.partition(" | ")[2]) for line in table)
    assert "operations.md#size-start-time-and-memory-of-each-package" in deploy
    assert "MiB" not in deploy
