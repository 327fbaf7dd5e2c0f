"""How every command reports an error: `Error: …` on standard error, and an exit code.

    2  the user can correct it: a setting, a file, an address
    1  the command did its work and the result is bad (`doctor`, `healthcheck`, `conformance`)

Usage errors are click's and look the same. Errors that are bugs keep their traceback.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import IO, Any, Final

import click

from phoenix_compat.errors import PhoenixCompatError

_OF_FILES: Final = frozenset(
    {
        errno.EACCES,
        errno.EEXIST,
        errno.EISDIR,
        errno.ELOOP,
        errno.EMFILE,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOSPC,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    }
)
"""Errors of the operating system that are about a file which the user named."""
_FILE_REMEDY: Final = "check the path and its permissions"


class CommandError(click.ClickException):
    """An error that the user can correct.

    Args:
        problems: sentences, one for each thing that is wrong.
    """

    exit_code = 2

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self._problems = problems

    def show(self, file: IO[Any] | None = None) -> None:
        """Print each problem; further lines of one are indented."""
        for problem in self._problems:
            first, *rest = problem.splitlines() or [""]
            lines = [f"Error: {first}", *(f"  {line}" for line in rest)]
            click.echo("\n".join(lines), file=file, err=file is None)


class ErrorReportingGroup(click.Group):
    """A group whose commands report this package's errors in the one style."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except PhoenixCompatError as error:
            problems: Sequence[str] = getattr(error, "problems", None) or (str(error),)
            raise CommandError(*problems) from error
        except click.FileError as error:  # a click.File that is opened late; its exit code is 1
            raise CommandError(
                f"cannot open {error.ui_filename}: {error.message}; {_FILE_REMEDY}"
            ) from error
        except OSError as error:
            if error.errno not in _OF_FILES or error.filename is None:
                raise
            raise CommandError(
                f"cannot use {error.filename}: {error.strerror}; {_FILE_REMEDY}"
            ) from error


def warn(text: str) -> None:
    """Print a warning to standard error."""
    click.echo(f"Warning: {text}", err=True)
