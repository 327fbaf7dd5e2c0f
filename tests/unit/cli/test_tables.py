"""Tables on terminals of any width."""

from __future__ import annotations

import re

import pytest

from phoenix_compat.cli.remote.tables import Column, fitted, print_table

COLUMNS = (
    Column("TASK"),
    Column("STATE", rank=1),
    Column("TYPE", least_cells=4, rank=3),
    Column("RESULT", least_cells=8, rank=2),
)
ROWS = [
    ("0190a0a0", "completed", "image_gen", "http://127.0.0.1:4000/files/日本語.jpg"),
    ("0190a0a1", "failed", "text_gen", "an escape \x1b[2J and more"),
]


@pytest.mark.parametrize(
    ("room", "widths"),
    [
        (100, [8, 9, 9, 38]),
        (50, [8, 9, 9, 18]),
        (36, [8, 9, 5, 8]),
        (35, [8, 9, 4, 8]),
        (34, [8, 9, 0, 13]),
        (29, [8, 9, 0, 8]),
        (28, [8, 9, 0, 0]),
        (18, [8, 0, 0, 0]),
        (3, [8, 0, 0, 0]),
    ],
)
def test_what_fits(room: int, widths: list[int]) -> None:
    """Long values are cut first, then columns are left out; the first one always stays whole."""
    assert fitted(COLUMNS, [8, 9, 9, 38], room) == widths


def test_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is cut, and control characters are escaped."""
    print_table(COLUMNS, ROWS)

    lines = capsys.readouterr().out.splitlines()
    assert lines[1].endswith("http://127.0.0.1:4000/files/日本語.jpg")
    assert lines[2].endswith(r"an escape \x1b[2J and more")


@pytest.mark.parametrize("columns", [200, 60, 40, 20, 12])
def test_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    """No line is wider than the terminal, whose cells a wide character has two of."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")

    print_table(COLUMNS, ROWS)

    shown = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out)  # bold is not a color
    lines = shown.splitlines()
    assert len(lines) == 3
    assert max(sum(2 if ord(one) > 0x2E80 else 1 for one in line) for line in lines) <= columns
    assert [line.split()[0] for line in lines] == ["TASK", "0190a0a0", "0190a0a1"]
