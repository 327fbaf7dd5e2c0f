"""Groups of commands whose help is whole on 80 columns: nothing is cut."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import click

from phoenix_compat.cli.errors import ErrorReportingGroup

SECTIONS: Final[Mapping[str, Sequence[str]]] = {
    "Server": (
        "serve",
        "init",
        "check-config",
        "config",
        "doctor",
        "healthcheck",
        "status",
        "nodes",
    ),
    "Tasks and clients": (
        "task",
        "demo",
        "sockets",
        "disconnect",
        "broadcast",
        "webhooks",
    ),
    "Keys and data": (
        "keys",
        "backup",
        "restore",
        "upgrade",
        "migrate-store",
        "export",
        "import",
        "prune",
    ),
    "For developers": ("emulator", "conformance", "openapi"),
    "This program": ("completion", "version"),
}
"""The commands, in the order in which the help lists them."""

_OTHERS: Final = "Other commands"
_WHOLE_CHARS: Final = 1_000


class WholeHelpGroup(click.Group):
    """A group that lists its commands with their whole first sentences."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands."""
        rows = [row for name in self.list_commands(ctx) for row in self.rows(ctx, name)]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def rows(self, ctx: click.Context, name: str) -> Iterator[tuple[str, str]]:
        """The row of a command; none if it is hidden."""
        command = self.get_command(ctx, name)
        if command is not None and not command.hidden:
            yield name, command.get_short_help_str(_WHOLE_CHARS)


class TopGroup(ErrorReportingGroup, WholeHelpGroup):
    """The program: without a command it prints its help; options alone are those of `serve`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Add the command that is meant."""
        if not args:
            args = ["--help"]
        elif args[0].startswith("-") and args[0] not in {"--help", "-h", "--version"}:
            args = ["serve", *args]
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by section."""
        known = {name for names in SECTIONS.values() for name in names}
        others = [name for name in self.list_commands(ctx) if name not in known]
        width = max(map(len, self.commands))
        for title, names in {**SECTIONS, _OTHERS: others}.items():
            rows = [row for name in names for row in self.rows(ctx, name)]
            if rows:
                with formatter.section(title):
                    # All sections have their second column at the same place.
                    formatter.write_dl([(f"{name:<{width}}", text) for name, text in rows])
