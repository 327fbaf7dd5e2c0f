"""The commands that take tasks to PostgreSQL and back."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from click.testing import CliRunner, Result

from phoenix_compat.cli import cli
from tests.integration.store.dump_store import fill
from tests.services.postgres import PASSWORD


def command(name: str, *arguments: str, folder: Path, url: str | None = None) -> Result:
    """Run a command on a data directory, and perhaps on a database of PostgreSQL."""
    changes = {} if url is None else {"PHOENIX_COMPAT_DATABASE_URL": url}
    done = CliRunner().invoke(cli, [name, "--data-dir", str(folder), *arguments], env=changes)
    assert PASSWORD not in done.output
    return done


def test_tasks_go_to_postgresql_and_back(tmp_path: Path, postgres_url: str) -> None:
    """By `migrate-store`, `export` and `import`; what comes back is what went."""
    home, back = tmp_path / "home", tmp_path / "back"
    home.mkdir()
    asyncio.run(fill(home / "tasks.sqlite3"))
    before = command("export", folder=home)

    missing = command("migrate-store", folder=home)
    copied = command("migrate-store", folder=home, url=postgres_url)
    refused = command("export", folder=home, url=postgres_url)
    finished = command("migrate-store", "--final", folder=home, url=postgres_url)
    repeated = command("migrate-store", "--final", folder=home, url=postgres_url)
    exported = command("export", str(tmp_path / "lines"), folder=home, url=postgres_url)
    known = command("import", str(tmp_path / "lines"), folder=home, url=postgres_url)
    imported = command("import", "--with-unfinished", str(tmp_path / "lines"), folder=back)

    assert missing.exit_code == 2
    assert missing.stderr.startswith("Error: database_url: is not set; set it, or PHOENIX_COMPAT_")
    assert copied.exit_code == 0, copied.stderr
    assert copied.stdout.startswith("tasks: 6 rows, 6 written, 0 deleted; both have ")
    assert copied.stdout.endswith(
        "copied and verified; to finish, stop the server and add --final\n"
    )
    assert refused.exit_code == 2
    assert "finish that with `phoenix-compat migrate-store --final`" in refused.stderr
    assert finished.exit_code == 0, finished.stderr
    kept_as = home / "tasks.sqlite3.migrated"
    assert finished.stdout.endswith(
        f"finished: servers may use PostgreSQL now; the file is {kept_as}\n"
    )
    assert repeated.exit_code == 2
    assert "use an empty database" in repeated.stderr
    assert (exported.exit_code, exported.stderr) == (0, "6 tasks exported\n")
    assert (tmp_path / "lines").read_text(encoding="utf-8") == before.stdout
    assert known.stdout == "0 tasks added, 2 existed already\n"
    assert imported.stdout == "6 tasks added, 0 existed already\n"


def test_rows_that_are_left_out_are_named(tmp_path: Path, postgres_url: str) -> None:
    """The exit code is 1, unless they may be."""
    asyncio.run(fill(tmp_path / "tasks.sqlite3"))
    with closing(sqlite3.connect(tmp_path / "tasks.sqlite3")) as connection, connection:
        connection.execute("UPDATE tasks SET input = '{secret' WHERE number = 1")

    refused = command("migrate-store", "--final", folder=tmp_path, url=postgres_url)
    finished = command("migrate-store", "--final", "--leave-out", folder=tmp_path, url=postgres_url)

    assert (refused.exit_code, finished.exit_code) == (1, 0)
    assert "input: expected JSON\n1 rows left out, because PostgreSQL cannot" in refused.stderr
    assert "not finished: repair them, or leave them out with --final --leave-out" in refused.stderr
    assert "secret" not in refused.output
    assert (tmp_path / "tasks.sqlite3.migrated").exists()
