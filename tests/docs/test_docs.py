"""The README, the settings, the failure codes and the list of differences agree with the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest
from aiohttp import web

from phoenix_compat.cli import cli
from phoenix_compat.server.process.settings import PREFIX, Settings
from phoenix_compat.tasks.model.results.failure import TEXTS
from tests.docs.pages import blocks
from tests.serving import serving
from tests.wire import PhoenixWire

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "phoenix_compat"
README = (ROOT / "README.md").read_text()
SETTINGS = (ROOT / "docs" / "settings.md").read_text()
FROM_PHOENIX = (ROOT / "docs" / "from-phoenix.md").read_text()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented(name: str) -> None:
    """docs/settings.md has a row for each setting, with its variable."""
    field = Settings.model_fields[name]
    aliases = [] if field.validation_alias is None else field.validation_alias.choices  # type: ignore[union-attr] # ours are AliasChoices
    variables = [str(alias) for alias in aliases if str(alias).isupper()] or [PREFIX + name.upper()]

    assert f"| `{name}` | `{variables[0]}` |" in SETTINGS


def test_no_unknown_setting_is_documented() -> None:
    """Each row of docs/settings.md is a setting."""
    assert set(re.findall(r"^\| `(\w+)` \|", SETTINGS, re.MULTILINE)) == set(Settings.model_fields)


def test_every_deviation_from_phoenix_is_listed() -> None:
    """Each file that says `Differs from Phoenix` has a row in docs/from-phoenix.md."""
    files = [
        path.relative_to(PACKAGE).as_posix()
        for path in sorted(PACKAGE.rglob("*.py"))
        if "Differs from Phoenix:" in path.read_text()
    ]

    assert files == sorted(re.findall(r"^\| `([\w/]+\.py)` \|", FROM_PHOENIX, re.MULTILINE))


def test_every_command_has_a_help_text() -> None:
    """Each command has a text for `--help`."""

    def commands(group: click.Group) -> list[click.Command]:
        nested = [commands(one) for one in group.commands.values() if isinstance(one, click.Group)]
        return [*group.commands.values(), *(command for found in nested for command in found)]

    assert all(command.help for command in commands(cli))


@pytest.mark.parametrize("code", sorted(TEXTS))
def test_every_failure_code_is_documented(code: str) -> None:
    """docs/tasks.md has a row for each code of `error_data`."""
    assert f"| `{code}` |" in (ROOT / "docs" / "tasks.md").read_text()


async def test_the_readme_server_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python server in the README accepts a join and broadcasts a message to the room."""
    apps: list[web.Application] = []
    monkeypatch.setattr(web, "run_app", lambda app, port: apps.append(app))
    names: dict[str, Any] = {}
    exec(compile(blocks(README, "python")[0], "README.md", "exec"), names)  # noqa: S102 - our own text

    async with serving(apps[0]) as url:
        wire = await PhoenixWire.open(url)
        await wire.join("room:lobby")
        broadcast = await wire.ask(["1", "2", "room:lobby", "new_msg", {"body": "hello"}])
        await wire.close()

    assert broadcast == [None, None, "room:lobby", "new_msg", {"body": "hello"}]


def test_the_readmes_commands_are_targets() -> None:
    """`make run`, `make test` and `make demo` exist."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert {"run", "test", "demo"} <= set(targets)


@pytest.mark.parametrize(
    "document", sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]), ids=lambda p: p.name
)
def test_links_between_documents_resolve(document: Path) -> None:
    """Each relative link in a document names a file that exists."""
    links = re.findall(r"\]\(([^)#:]+)\)", document.read_text())

    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize(
    "document",
    sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]),
    ids=lambda p: p.name,
)
def test_source_files_that_documents_name_exist(document: Path) -> None:
    """Each `folder/module.py` in a document is a file of the package or of the repository."""
    named = set(re.findall(r"`((?:\w+/)+\w+\.(?:py|toml|sql|json|md))`", document.read_text()))

    assert [
        name
        for name in sorted(named)
        if not (ROOT / name).exists() and not (PACKAGE / name).exists()
    ] == []
