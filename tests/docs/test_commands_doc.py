"""docs/commands.md shows the help of every command as it is."""

from __future__ import annotations

from tests.docs.commands_page import MARK, PATH, generated


def test_the_page_is_current() -> None:
    """If this fails, run: python -m tests.docs.commands_page."""
    head, found, rest = PATH.read_text(encoding="utf-8").partition(MARK)

    assert found, "the line that separates both parts is missing"
    assert head.startswith("# Commands\n")
    assert rest == generated()
