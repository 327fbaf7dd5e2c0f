"""How every command reports an error: `Error: …` on standard error, and an exit code.

    2  the user can correct it: a setting, a file, an address
    1  the command did its work and the result is bad (`doctor`, `healthcheck`, `conformance`)

Usage errors are click's and look the same. Errors that are bugs keep their traceback. None of them
shows a secret that this process knows, or a text that has the form of one.
"""

from __future__ import annotations

import errno
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import IO, Any, Final

import click

from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.redaction import live_secrets

_OF_FILES: Final = frozenset(
    {
        errno.EACCES,
        errno.EDQUOT,
        errno.EEXIST,
        errno.EFBIG,
        errno.EIO,
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
"""Errors of the operating system about files, which the user can correct."""
_FILE_REMEDY: Final = "check the path and its permissions"
_NO_SPACE: Final = frozenset({errno.EDQUOT, errno.EFBIG, errno.ENOSPC})
_SPACE_REMEDY: Final = "free some space, or choose another place"


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
            click.echo(live_secrets.redacted("\n".join(lines)), file=file, err=file is None)


class ErrorReportingGroup(click.Group):
    """A group whose commands report this package's errors in the one style."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except PhoenixCompatError as error:
            problems: Sequence[str] = getattr(error, "problems", None) or (str(error),)
            raise CommandError(*problems) from error
        except CommandError:
            raise
        except click.FileError as error:  # a click.File that is opened late; its exit code is 1
            raise CommandError(
                f"cannot open {error.ui_filename}: {error.message}; {_FILE_REMEDY}"
            ) from error
        except click.ClickException as error:  # it may quote what was typed
            message = live_secrets.redacted(error.message)
            error.message = message  # type: ignore[misc] # final by mistake: click sets it itself
            raise
        except OSError as error:
            if error.errno not in _OF_FILES:
                raise
            remedy = _SPACE_REMEDY if error.errno in _NO_SPACE else _FILE_REMEDY
            file = "a file" if error.filename is None else error.filename
            raise CommandError(f"cannot use {file}: {error.strerror}; {remedy}") from error


def warn(text: str) -> None:
    """Print a warning to standard error."""
    click.echo(f"Warning: {live_secrets.redacted(text)}", err=True)


def report_bugs_without_secrets() -> None:
    """Print the tracebacks of this process, whichever thread they are of, without secrets."""

    def report(error: BaseException) -> None:
        text = "".join(traceback.format_exception(error))
        sys.stderr.write(live_secrets.redacted(text))

    def report_thread(failure: threading.ExceptHookArgs) -> None:
        if failure.exc_value is not None and failure.exc_type is not SystemExit:
            report(failure.exc_value)

    sys.excepthook = lambda _type, error, _traceback: report(error)
    threading.excepthook = report_thread
