"""The table in docs/settings.md has every setting, with the default and text of the code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.cli import cli
from phoenix_compat.server.process.settings import Settings, variables

DOCUMENT = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
TABLE = re.findall(r"^\| `\w+` \|.*$", DOCUMENT, re.MULTILINE)
FLAGS = {
    name: next(option for option in one.opts if option.startswith("--"))
    for one in cli.commands["serve"].params
    if (name := str(one.name)) in Settings.model_fields
}


def default_of(name: str) -> str:
    """Return a default as it is written in the file or the variable; "none" if there is none."""
    value: Any = Settings.model_fields[name].get_default()
    match value:
        case None:
            return "none"
        case bool() | tuple():
            return f"`{json.dumps(value)}`"
        case float():
            return f"`{value:g}`"
        case _:
            return f"`{value}`"


def row_of(name: str) -> str:
    """Return the row that the table must have for a setting."""
    text = Settings.model_fields[name].description or ""
    text = re.sub(r"docs/([\w-]+\.md)", r"[\1](\1)", text)
    text = re.sub(r'as ("[^"]*"|\[[^\]]*\])', r"as `\1`", text)
    flag = f"; flag `{FLAGS[name]}`" if name in FLAGS else ""
    return f"| `{name}` | `{variables(name)[0]}` | {default_of(name)} | {text}{flag} |"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_has_its_row(name: str) -> None:
    """The row has the variable, default, description and flag of the code."""
    row = next((line for line in TABLE if line.startswith(f"| `{name}` |")), "no row")

    assert row == row_of(name), (
        f"docs/settings.md has, for the setting {name!r}:\n{row}\n"
        f"put this line into its table:\n{row_of(name)}"
    )


def test_the_rows_are_in_the_order_of_the_settings() -> None:
    """The table has each setting exactly once, in the order of the code, and no others."""
    named = [line.split("`")[1] for line in TABLE]

    assert named == list(Settings.model_fields), (
        f"docs/settings.md: the table has rows for {named}, the code has settings "
        f"{list(Settings.model_fields)}"
    )


def test_flags_and_descriptions_are_found() -> None:
    """The test finds the flags, and every setting has a description."""
    assert FLAGS["port"] == "--port"
    assert all(field.description for field in Settings.model_fields.values())
