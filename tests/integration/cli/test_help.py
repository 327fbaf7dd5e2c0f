"""The help of every command fits 80 columns and is whole; a bare command starts nothing."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from phoenix_compat.cli import cli
from phoenix_compat.cli.shell.completion import SHELLS, completion_script
from phoenix_compat.cli.shell.groups import SECTIONS
from phoenix_compat.version import __version__
from tests.integration.operations.commands import finish, listening_url, run, start

PROGRAM = ("-m", "phoenix_compat")


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every command, the program's own included."""
    yield path
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


@pytest.mark.parametrize("path", list(commands()), ids=lambda path: " ".join(path) or "all")
def test_help_fits_a_terminal(path: tuple[str, ...]) -> None:
    """No line is longer than 80 columns, and no sentence is cut; each ends with a full stop."""
    arguments = [*path, "--help"]
    shown = CliRunner().invoke(cli, arguments, terminal_width=80, prog_name="phoenix-compat")

    assert shown.exit_code == 0
    assert [line for line in shown.output.splitlines() if len(line) > 80] == []
    assert [line for line in shown.output.splitlines()[1:] if re.search(r"…|\.\.\.", line)] == []


def test_the_help_lists_each_command_in_a_section() -> None:
    """A new command is added to a section; none is listed twice."""
    listed = [name for names in SECTIONS.values() for name in names]

    assert len(listed) == len(set(listed))
    assert set(cli.commands) <= set(listed)


async def test_a_bare_command_prints_help() -> None:
    """It ends at once with 0, and starts nothing."""
    bare, asked = [await run(*PROGRAM, *options) for options in ((), ("--help",))]

    assert (bare.code, bare.err) == (0, "")
    assert bare == asked


@pytest.mark.parametrize(
    "command",
    [("server.py",), (*PROGRAM, "--port", "0")],
    ids=["python server.py", "an option"],
)
async def test_a_server_without_its_command(tmp_path: Path, command: tuple[str, ...]) -> None:
    """`python server.py` serves, and so does a call that begins with an option."""
    variables = {"PHOENIX_COMPAT_DATA_DIR": str(tmp_path), "PHOENIX_COMPAT_PORT": "0"}
    process = await start(*command, **variables)
    url = await listening_url(process)
    process.send_signal(signal.SIGTERM)
    finished = await finish(process)

    assert url.startswith("http://127.0.0.1:")
    assert finished.code == 0, finished.err


async def test_version() -> None:
    """The command says more than the option; both say the version."""
    said, option = await run(*PROGRAM, "version"), await run(*PROGRAM, "--version")

    assert said.out.splitlines()[0].split() == ["phoenix-compat", __version__]
    assert "Python" in said.out
    assert option.out == f"phoenix-compat, version {__version__}\n"


@pytest.mark.parametrize("shell", SHELLS)
async def test_completion(shell: str) -> None:
    """The script is the shell's, and what it asks for is answered with commands and options."""
    script = completion_script(cli, shell)
    asked = {"_PHOENIX_COMPAT_COMPLETE": f"{shell}_complete"}
    words, options = "phoenix-compat ta", "phoenix-compat task list --st"
    # fish gives the word that is being written, the others its number.
    places = ("ta", "--st") if shell == "fish" else ("1", "3")
    command, option = [
        await run(*PROGRAM, **asked | {"COMP_CWORD": place}, COMP_WORDS=text)
        for place, text in zip(places, (words, options), strict=True)
    ]

    assert f"_PHOENIX_COMPAT_COMPLETE={shell}_complete" in script
    assert "task" in command.out
    assert "--status" in option.out


def test_bash_takes_the_script() -> None:
    """It has no syntax error."""
    checked = subprocess.run(
        ["/bin/bash", "-n"], input=completion_script(cli, "bash"), text=True, check=False
    )

    assert checked.returncode == 0
