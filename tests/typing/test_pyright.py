"""pyright's view of the same files: it reports the lines that mypy reports, and no others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.interop.packages import node_package
from tests.typing.test_typing import BAD, GOOD, HERE, marked

pytestmark = [pytest.mark.node, pytest.mark.timeout(180)]

SETTINGS = {
    "include": [str(HERE.relative_to(HERE.parents[1]))],
    "typeCheckingMode": "strict",
    "pythonVersion": "3.11",
}


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, int]]:
    """File and line of each error, in pyright's strict mode."""
    node, package = node_package("pyright")
    root = tmp_path_factory.mktemp("pyright")
    for name in ("phoenix_compat", "tests"):
        (root / name).symlink_to(HERE.parents[1] / name)
    settings = root / "pyrightconfig.json"
    settings.write_text(json.dumps(SETTINGS))

    done = subprocess.run(  # noqa: S603 - a pinned program
        [
            node,
            package / "index.js",
            "--outputjson",
            "-p",
            settings,
            "--pythonpath",
            sys.executable,
        ],
        capture_output=True,
        check=False,
    )

    found: list[dict[str, Any]] = json.loads(done.stdout)["generalDiagnostics"]
    return {
        (Path(one["file"]).name, one["range"]["start"]["line"] + 1)
        for one in found
        if one["severity"] == "error"
    }


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_code(lines: set[tuple[str, int]], path: Path) -> None:
    """Valid code has no errors."""
    assert [line for name, line in sorted(lines) if name == path.name] == []


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_code(lines: set[tuple[str, int]], path: Path) -> None:
    """Each mistake is reported at its line, and nothing else is."""
    expected = {(name, line) for name, line, _kind in marked(path)}

    assert {one for one in lines if one[0] == path.name} == expected
