"""The part of docs/commands.md that is made of the commands' own help.

python -m tests.docs.commands_page    writes it anew
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import click

from phoenix_compat.cli import cli
from phoenix_compat.cli.shell.completion import PROGRAM
from phoenix_compat.cli.shell.groups import SECTIONS
from tests.docs.pages import DOCS

PATH: Final = DOCS / "commands.md"
MARK: Final = "<!-- Below: python -m tests.docs.commands_page -->\n"
_COLUMNS: Final = 78


def generated() -> str:
    """A section for each group of commands, with the help of each command as `--help` prints it."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    for title, names in SECTIONS.items():
        yield f"\n## {title}\n"
        for name in names:
            if name in cli.commands:
                yield from _command(cli.commands[name], (name,))


def _command(command: click.Command, path: tuple[str, ...]) -> Iterator[str]:
    yield f"### {' '.join(path)}\n"
    yield f"```text\n{_help(command, path)}\n```\n"
    if isinstance(command, click.Group):
        for name, one in command.commands.items():
            yield from _command(one, (*path, name))


def _help(command: click.Command, path: tuple[str, ...]) -> str:
    """The help without the names of this machine's terminal."""
    context = click.Context(cli, info_name=PROGRAM, terminal_width=_COLUMNS)
    context.help_option_names = ["-h", "--help"]
    for name in path[:-1]:
        context = click.Context(command, parent=context, info_name=name)
    vars(command)["_help_option"] = None  # click remembers the one of whoever asked first
    made = click.Context(command, parent=context, info_name=path[-1], terminal_width=_COLUMNS)
    return "\n".join(line.rstrip() for line in command.get_help(made).splitlines())


if __name__ == "__main__":
    head = PATH.read_text(encoding="utf-8").partition(MARK)[0]
    PATH.write_text(head + MARK + generated(), encoding="utf-8")
