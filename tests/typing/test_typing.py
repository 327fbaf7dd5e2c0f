"""The type checker's view of the public API: good code passes, each mistake is reported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mypy import api

HERE = Path(__file__).parent
SETTINGS = HERE.parent.parent / "pyproject.toml"
CACHE = SETTINGS.with_name(".mypy_cache")
GOOD = sorted(HERE.glob("good_*.py"))
BAD = sorted(HERE.glob("bad_*.py"))

Report = set[tuple[str, int, str]]
"""File, line and kind of each complaint."""

_COMPLAINT = re.compile(r"^(?:.*[\\/])?(\w+\.py):(\d+): error: .*\[([\w-]+)\]$", re.MULTILINE)
_MARK = re.compile(r"# bad: ([\w, -]+)$")


@pytest.fixture(scope="module")
def report() -> Report:
    """The output of mypy for all files, with the settings of the project."""
    files = [str(path) for path in (*GOOD, *BAD)]

    settings = ["--config-file", str(SETTINGS), "--cache-dir", str(CACHE), "--no-pretty"]
    output, errors, _ = api.run([*settings, *files])

    assert errors == ""
    return {(name, int(line), kind) for name, line, kind in _COMPLAINT.findall(output)}


def marked(path: Path) -> Report:
    """The errors that a file expects."""
    return {
        (path.name, number, kind.strip())
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (mark := _MARK.search(line)) is not None
        for kind in mark[1].split(",")
    }


@pytest.mark.timeout(180)  # without a cache mypy reads everything that is imported
@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_code(report: Report, path: Path) -> None:
    """Valid code has no errors."""
    assert {complaint for complaint in report if complaint[0] == path.name} == set()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_code(report: Report, path: Path) -> None:
    """Each mistake is reported at its line, and nothing else is."""
    assert marked(path) == {complaint for complaint in report if complaint[0] == path.name}
