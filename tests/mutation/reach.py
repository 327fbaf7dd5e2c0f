"""Which tests run a line of the code: only those can notice that it has changed.

The tests are run once with coverage.py, which notes for each line the tests that ran it. What runs
when a module is imported, such as constants and defaults of parameters, is reached by every test.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import coverage
import pytest

from tests.mutation.mutants import Mutant
from tests.mutation.processes import Limits, run_tests

VECTORS: Final = "tests/conformance/test_vectors.py"
"""All its cases are played at once, so its tests are one."""

_LIMITS: Final = Limits(cpu_s=1800.0, wall_s=3600.0)


@dataclass(frozen=True)
class Reach:
    """What was seen when the tests ran on the code as it is.

    Attributes:
        tests: by file and line the ids of the tests that ran it; an empty id stands for the import.
        seconds: how long each test took, by its id, slowed down by coverage.py.
        vectors: the ids of the tests of the vectors, which count as one in `tests` and `seconds`.
    """

    tests: dict[str, dict[int, frozenset[str]]]
    seconds: dict[str, float]
    vectors: list[str]

    def of(self, mutant: Mutant, source: str) -> list[str]:
        """The ids of the tests that can notice a change, the nearest and shortest first."""
        by_line = self.tests.get(str(mutant.path), {})
        lines = _statement_lines(source, mutant.first_line, mutant.last_line)
        found: frozenset[str] = frozenset().union(*(by_line.get(line, ()) for line in lines))
        if "" in found or not by_line:
            found = frozenset(self.seconds)
        return sorted(
            found - {""},
            key=lambda test: (_distance(test, mutant.path), self.seconds.get(test, 0.0), test),
        )


def measure(root: Path, folder: Path, test_paths: Iterable[str], cache: Path) -> Reach:
    """Run the tests once, or read what a run on the same code and tests has noted.

    Raises:
        ValueError: a test fails without any mutant.
    """
    paths = [path for path in test_paths if (root / path).exists()]
    state = digest(root, [str(folder), "tests"])
    if cache.exists() and (known := json.loads(cache.read_text()))["state"] == state:
        return _reach_of(known)
    data = cache.with_suffix(".coverage")
    noted = cache.with_suffix(".seconds")
    finished = run_tests(
        root, paths, _LIMITS, prepare=lambda: [_Contexts(root / folder, data, noted)]
    )
    if not finished.is_passed:
        names = ", ".join(finished.failed) or finished.ended
        raise ValueError(f"a test fails without any mutant: {names}\n{finished.output}")
    document = {
        "state": state,
        "tests": _read(data, root),
        **json.loads(noted.read_text()),
    }
    cache.write_text(json.dumps(document))
    data.unlink()
    noted.unlink()
    return _reach_of(document)


def digest(root: Path, folders: Iterable[str]) -> str:
    """Changes with every Python file of some folders."""
    found = hashlib.sha256()
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            if "mutation" not in path.parts:
                found.update(path.read_bytes())
    return found.hexdigest()


class _Contexts:
    """A plugin of pytest: tells coverage.py which test is running."""

    def __init__(self, folder: Path, data: Path, noted: Path) -> None:
        self._coverage = coverage.Coverage(
            data_file=str(data), include=[f"{folder}/*"], config_file=False, branch=False
        )
        self._noted = noted
        self._seconds: dict[str, float] = {}
        self._vectors: list[str] = []
        self._coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """A line belongs to the test that runs."""
        self._coverage.switch_context(_unit_of(item.nodeid))
        try:
            return (yield)
        finally:
            self._coverage.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how long the test took."""
        test = _unit_of(report.nodeid)
        if test == VECTORS and report.when == "call":
            self._vectors.append(report.nodeid)
        self._seconds[test] = self._seconds.get(test, 0.0) + report.duration

    def pytest_sessionfinish(self) -> None:
        """Write what was seen."""
        self._coverage.stop()
        self._coverage.save()
        self._noted.write_text(json.dumps({"seconds": self._seconds, "vectors": self._vectors}))


def _unit_of(test: str) -> str:
    return VECTORS if test.startswith(VECTORS) else test


def _read(data: Path, root: Path) -> dict[str, dict[str, list[str]]]:
    seen = coverage.CoverageData(str(data))
    seen.read()
    return {
        str(Path(file).relative_to(root)): {
            str(line): tests for line, tests in seen.contexts_by_lineno(file).items()
        }
        for file in seen.measured_files()
    }


def _reach_of(document: dict[str, Any]) -> Reach:
    tests = {
        file: {int(line): frozenset(found) for line, found in lines.items()}
        for file, lines in document["tests"].items()
    }
    return Reach(tests, document["seconds"], document["vectors"])


def _statement_lines(source: str, first: int, last: int) -> range:
    """The lines of the innermost statement with the given ones; without its body, if it has one."""
    found = range(first, last + 1)
    smallest: int | None = None
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.stmt) or not node.lineno <= first <= (node.end_lineno or 0):
            continue
        body = getattr(node, "body", None)
        end = body[0].lineno - 1 if isinstance(body, list) and body else node.end_lineno or 0
        end = max(end, node.lineno)
        size = (node.end_lineno or 0) - node.lineno
        if first <= end and (smallest is None or size < smallest):
            smallest, found = size, range(node.lineno, end + 1)
    return found


def _distance(test: str, path: Path) -> int:
    """0 for the test file of a module, 1 for those of its folder, 2 for other unit tests."""
    file = Path(test.partition("::")[0])
    mirrored = Path("tests/unit", *path.parts[1:-1])
    if file.parent != mirrored:
        return 2 if file.is_relative_to("tests/unit") else 3
    return 0 if file.stem.startswith(f"test_{path.stem}") else 1
