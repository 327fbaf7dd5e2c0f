"""`phoenix-compat keys` while no server is running: it opens the database itself."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from phoenix_compat.cli import cli
from phoenix_compat.operations import keys as key_operations
from phoenix_compat.server.auth.keys.api_keys import is_key
from phoenix_compat.server.control.messages import SOCKET_NAME
from phoenix_compat.tasks.model.task_types import determine_task_params
from phoenix_compat.tasks.store.new_task import IdempotencyKey
from phoenix_compat.tasks.store.sqlite.database_file import lock_file
from tests.integration.keys.key_harness import contents, open_store

DATABASE = "tasks.sqlite3"


def keys(folder: Path, *arguments: str) -> Result:
    """Run `keys` with these arguments on the data in this folder."""
    command = ["keys", *arguments, "--data-dir", str(folder)]
    return CliRunner().invoke(cli, command, prog_name="phoenix-compat")


def test_a_key_is_alone_on_standard_output(tmp_path: Path) -> None:
    """KEY=$(phoenix-compat keys create NAME) works, also before the first start of the server."""
    result = keys(tmp_path / "new", "create", "phone")

    assert result.exit_code == 0
    assert is_key(result.stdout.removesuffix("\n"))
    assert "phone may create, read, cancel" in result.stderr
    assert "cannot be shown again" in result.stderr
    assert result.stdout.strip() not in result.stderr
    assert result.stdout.strip().encode() not in contents(tmp_path / "new")


@pytest.mark.parametrize(
    ("options", "scopes"),
    [
        ((), ["create", "read", "cancel"]),
        (("--scope", "create,read"), ["create", "read"]),
        (("--scope", "publish", "--scope", "read , read"), ["read", "publish"]),
        (("--scope", "operate,impersonate,read_metrics"), None),
    ],
)
def test_a_key_has_the_scopes_that_were_asked_for(
    tmp_path: Path, options: tuple[str, ...], scopes: list[str] | None
) -> None:
    """Several options, and several scopes in one, are all taken; the order is fixed."""
    keys(tmp_path, "create", "phone", *options)

    [record] = json.loads(keys(tmp_path, "list", "--json").stdout)

    assert record["scopes"] == (scopes or ["operate", "read_metrics", "impersonate"])


def test_the_list_has_all_but_the_keys(tmp_path: Path) -> None:
    """Name, owner, scopes, times and state; revoked keys are listed too."""
    made = [keys(tmp_path, "create", name).stdout.strip() for name in ("phone", "tv")]
    keys(tmp_path, "revoke", "tv")

    table = keys(tmp_path, "list").stdout
    phone, tv = json.loads(keys(tmp_path, "list", "--json").stdout)

    head, *rows = table.splitlines()
    assert head.split() == ["NAME", "SCOPES", "CREATED", "LAST", "USED", "STATE"]
    assert rows[0].startswith("phone  create,read,cancel  20")
    assert rows[0].endswith("never      valid")
    assert "revoked 20" in rows[1]
    assert (phone["owner"], phone["revoked_at"]) == ("key:phone", None)
    assert (tv["owner"], tv["last_used_at"]) == ("key:tv", None)
    assert tv["revoked_at"].endswith("Z")
    assert not any(key in table + json.dumps([phone, tv]) for key in made)


def test_an_empty_list_says_how_to_go_on(tmp_path: Path) -> None:
    """The table is empty, JSON is an empty list."""
    keys(tmp_path, "create", "phone")
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        connection.execute("DELETE FROM api_keys")
        connection.commit()

    table, listed = keys(tmp_path, "list"), keys(tmp_path, "list", "--json")

    assert (table.stdout, json.loads(listed.stdout)) == ("", [])
    assert "phoenix-compat keys create NAME" in table.stderr


def test_a_revocation_can_be_repeated(tmp_path: Path) -> None:
    """Both times it says since when the key is revoked."""
    keys(tmp_path, "create", "phone")

    outputs = {keys(tmp_path, "revoke", "phone").stdout for _ in range(2)}

    [output] = outputs
    assert output.startswith("phone is revoked since 20")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("create", "phone"), "there is a key named phone already; choose another name, or revoke"),
        (("create", "a b"), "the name of a key has 1 to 64 letters"),
        (("create", "new", "--scope", "raed"), "'raed' is not a scope. The scopes are create, re"),
        (("create", "new", "--scope", ""), "'' is not a scope"),
        (("create", "\udcff"), "is not UTF-8 text"),
        (("create",), "NAME"),
        (("revoke", "phne"), "there is no key named 'phne'"),
        (("revoke", "\udcff"), "is not UTF-8 text"),
        (("adopt", ""), "an owner has 1 to 200 characters"),
        (("adopt", " a"), "without spaces at its ends"),
        (("adopt", "a\nb"), "without control characters"),
        (("adopt", "x" * 201), "an owner has 1 to 200 characters"),
        (("adopt", "key:phne"), "there is no key named 'phne'; create it first"),
        (("adopt", "phone"), 'the owner of its tasks is "key:phone"; give that'),
        (("adopt", "\udcff"), "is not UTF-8 text"),
        (("lst",), "lst"),
    ],
)
def test_what_cannot_be_done_is_explained(
    tmp_path: Path, arguments: tuple[str, ...], text: str
) -> None:
    """The error says what to do, the exit code is 2, and nothing was changed."""
    keys(tmp_path, "create", "phone")
    before = keys(tmp_path, "list", "--json").stdout

    result = keys(tmp_path, *arguments)

    assert text in result.stderr
    assert (result.exit_code, result.stdout) == (2, "")
    assert keys(tmp_path, "list", "--json").stdout == before


@pytest.mark.parametrize("arguments", [("list",), ("revoke", "a"), ("adopt", "a")])
def test_only_create_makes_a_database(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """The others name the folder in which there is none."""
    result = keys(tmp_path, *arguments)

    assert result.exit_code == 2
    assert f"{tmp_path / DATABASE}: the file does not exist; set the data dir" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_another_process_without_a_control_socket_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a server of an older version: after a while the command gives up."""
    monkeypatch.setattr(key_operations.run_key_command, "__kwdefaults__", {"wait_s": 0.0})
    keys(tmp_path, "create", "phone")

    with lock_file(tmp_path / DATABASE):
        result = keys(tmp_path, "list")

    assert result.exit_code == 2
    assert "another process uses it and takes no commands; if it is a server of an" in result.stderr


def test_the_socket_of_a_killed_server_is_no_obstacle(tmp_path: Path) -> None:
    """The command opens the database itself."""
    keys(tmp_path, "create", "phone")
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(os.path.relpath(tmp_path / SOCKET_NAME))

    assert "phone" in keys(tmp_path, "list").stdout


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_root_does_not_create_files_of_another_user(tmp_path: Path) -> None:
    """A database or lock of root would stop the server from starting."""
    os.chown(tmp_path, 65_534, 65_534)

    result = keys(tmp_path, "create", "phone")

    assert result.exit_code == 2
    assert "run this command as that user, for example: runuser -u nobody" in result.stderr
    assert list(tmp_path.iterdir()) == []


# Adopting.


async def add_tasks(folder: Path, count: int) -> None:
    """Add tasks, each with an idempotency key, that belong to nobody."""
    params = determine_task_params({"type": "image", "prompt": "monk"})
    async with open_store(folder) as store:
        for number in range(count):
            await store.add_once(params, IdempotencyKey(f"key-{number}", "sha"))


def owners(path: Path, table: str) -> list[str]:
    """The owners of all rows of a table."""
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute(f"SELECT owner FROM {table}")]  # noqa: S608 - a name


def test_tasks_of_nobody_are_adopted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In as many steps as it takes, with their idempotency keys; tasks of others stay theirs."""
    monkeypatch.setattr("phoenix_compat.tasks.store.task_store.ADOPTED_AT_ONCE", 3)
    asyncio.run(add_tasks(tmp_path, 8))
    keys(tmp_path, "create", "phone")
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        connection.execute("UPDATE tasks SET owner = 'user-17' WHERE number = 4")
        connection.execute("UPDATE idempotency_keys SET owner = 'user-17' WHERE key = 'key-3'")
        connection.commit()

    first, second = (keys(tmp_path, "adopt", "key:phone").stdout for _ in range(2))

    assert first == "7 tasks now belong to key:phone\n"
    assert second == "0 tasks now belong to key:phone\n"
    for table in ("tasks", "idempotency_keys"):
        assert sorted(owners(tmp_path / DATABASE, table)) == ["key:phone"] * 7 + ["user-17"]


def test_an_idempotency_key_of_the_new_owner_stays(tmp_path: Path) -> None:
    """Where both have the same key, the new owner's keeps its task."""
    asyncio.run(add_tasks(tmp_path, 2))
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        connection.execute("UPDATE tasks SET owner = 'user-17' WHERE number = 2")
        connection.execute(
            "UPDATE idempotency_keys SET owner = 'user-17', key = 'key-0' WHERE key = 'key-1'"
        )
        connection.commit()

    result = keys(tmp_path, "adopt", "user-17")

    assert result.stdout == "1 task now belongs to user-17\n"
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        rows = connection.execute(
            "SELECT number FROM idempotency_keys JOIN tasks ON id = task_id"
            " WHERE idempotency_keys.owner = 'user-17'"
        ).fetchall()
    assert rows == [(2,)]
