"""A setting that was renamed is accepted by its old name, with one warning."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.integration.operations.commands import finish, run, server

COMMAND = ("-m", "phoenix_compat")
TYPES = '[poster]\ntask_type = "poster_gen"\ndefault_model = "a/b"\nresult = "image"\n'


@pytest.fixture
def types(tmp_path: Path) -> str:
    """A file with a task type."""
    path = tmp_path / "types.toml"
    path.write_text(TYPES)
    return str(path)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_serve_logs_one_warning(tmp_path: Path, types: str, workers: str) -> None:
    """The line names the old and the new flag; worker processes do not repeat it."""
    arguments = (*COMMAND, "serve", "--port", "0", "--data-dir", str(tmp_path / "data"))
    async with server(*arguments, "--kinds-file", types, "--workers", workers) as (process, _):
        process.send_signal(signal.SIGTERM)
        finished = await finish(process)

    (line,) = [line for line in finished.err.splitlines() if "setting.renamed" in line]
    assert finished.code == 0
    assert "--kinds-file is now called --task-types-file" in line


@pytest.mark.parametrize("command", [("check-config",), ("config", "show")])
async def test_other_commands_print_one_warning(types: str, command: tuple[str, ...]) -> None:
    """On standard error, with exit code 0."""
    finished = await run(*COMMAND, *command, PHOENIX_COMPAT_KINDS_FILE=types)

    assert finished.code == 0
    assert finished.err == (
        "Warning: PHOENIX_COMPAT_KINDS_FILE is now called PHOENIX_COMPAT_TASK_TYPES_FILE; "
        "the old name still works, for now\n"
    )


async def test_the_new_name_has_no_warning(types: str) -> None:
    """The new variable is accepted without output on standard error."""
    finished = await run(*COMMAND, "check-config", PHOENIX_COMPAT_TASK_TYPES_FILE=types)

    assert (finished.code, finished.err) == (0, "")
