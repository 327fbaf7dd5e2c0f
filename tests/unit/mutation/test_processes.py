"""Tests run in a fork against a module whose code was changed in memory only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.patience import patient

ROOT: Final = Path(__file__).parents[3]
MODULE: Final = "def half(number):\n    return number / 2\n"
TESTS: Final = """\
from phoenix_compat.half import half

def test_half():
    assert half(4) == 2

def test_nothing():
    assert half(0) == 0
"""
SCRIPT: Final = """\
import json, sys
from pathlib import Path
from tests.mutation.processes import ChangedModule, Limits, preload, run_tests

root, limits = Path(sys.argv[1]), Limits(cpu_s=1.0, wall_s=float(sys.argv[2]))

def run(code, tests=None):
    changed = ChangedModule("phoenix_compat.half", code) if code else None
    finished = run_tests(root, ["tests/test_half.py"], limits, changed=changed, tests=tests)
    return [finished.ended, *finished.failed]

preload(root, ["tests"])
print(json.dumps([
    run(None),
    run("def half(number): return number / 3"),
    run("def half(number): return number / 3", ["tests/test_half.py::test_nothing"]),
    run("def half(number):\\n  while True: pass"),
    run("import os; os.abort()"),
    run("raise ValueError"),
    run(None, ["tests/test_half.py::test_other"]),
]))
"""


@pytest.mark.long
def test_the_verdicts_of_tests(tmp_path: Path) -> None:
    """Tests pass, fail, never end, or cannot be imported; only the chosen ones run."""
    for folder, name, text in (
        ("phoenix_compat", "half.py", MODULE),
        ("tests", "test_half.py", TESTS),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
        (tmp_path / folder / name).write_text(text)

    printed = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", SCRIPT, str(tmp_path), str(patient(30.0))],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )

    assert json.loads(printed.stdout) == [
        ["passed"],
        ["failed", "tests/test_half.py::test_half"],
        ["passed"],
        ["timeout"],
        ["failed", "crash"],
        ["failed", "import"],
        ["empty"],
    ]
    assert (tmp_path / "phoenix_compat" / "half.py").read_text() == MODULE
