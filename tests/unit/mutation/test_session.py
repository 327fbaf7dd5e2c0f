"""Results outlive the process, and a mutant that survived is tried again when the tests change."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutation.session import KILLED, NO_TEST, SURVIVED, TIMEOUT, Result, Session


def test_a_result_is_there_after_a_restart(tmp_path: Path) -> None:
    """A run that was stopped goes on where it was."""
    with Session(tmp_path / "results.sqlite3") as session:
        session.put("key", Result(SURVIVED, "", 1.5, "before"))
        session.put("key", Result(KILLED, "a test", 0.5, "after"))

    with Session(tmp_path / "results.sqlite3") as session:
        assert session.get("key") == Result(KILLED, "a test", 0.5, "after")
        assert session.get("other") is None


def test_results_can_be_forgotten(tmp_path: Path) -> None:
    """After `--fresh` all mutants are tried again."""
    with Session(tmp_path / "results.sqlite3") as session:
        session.put("key", Result(KILLED, "a test", 0.5, "state"))

        session.clear()

        assert session.get("key") is None


@pytest.mark.parametrize(
    ("verdict", "holds"), [(KILLED, True), (TIMEOUT, True), (SURVIVED, False), (NO_TEST, False)]
)
def test_what_survived_is_tried_again(verdict: str, holds: bool) -> None:
    """More tests kill no fewer mutants, so only the others are tried again."""
    result = Result(verdict, "", 1.0, "before")

    assert result.holds_in("before")
    assert result.holds_in("after") is holds
