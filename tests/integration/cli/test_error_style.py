"""Every command reports errors in one style: `Error: …`, exit code 2, words for people.

Each case gives a command something wrong: flags, folders, files, addresses, settings.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest
import structlog
from click.testing import CliRunner, Result

from phoenix_compat.cli import cli
from tests.integration.store.stored_tasks import make_data_dir

TECHNICAL = re.compile(
    r"Traceback|Errno|\(-?\d+, |Input should|value_error|pydantic|<class|object at 0x|codec"
    r"|\b[A-Z][A-Za-z]+(?:Error|Exception|Timeout)\b"
)
"""Words that errors for people do not have."""

USAGE = re.compile(r"Usage: |Try '")
SETTINGS = """\
port = 70000
prt = 1
file_hosts = "x"
log_level = "loud"
data_dir = 3
show_watchers = 3
"""


@dataclass(frozen=True)
class Case:
    """A command with something wrong, and what its error must name."""

    command: str
    names: str
    variables: Mapping[str, str] = field(default_factory=dict)
    code: int = 2
    answers: str = ""

    def __str__(self) -> str:
        return " ".join(
            [*(f"{name}={text}" for name, text in self.variables.items()), self.command]
        )


_CLOSED = {"PHOENIX_COMPAT_DATABASE_URL": "postgresql://u:kept-secret@127.0.0.1:1/x"}
_NO_URL = {"PHOENIX_COMPAT_DATABASE_URL": "tasks.sqlite3"}

CASES = [
    Case("nosuch", "nosuch"),
    Case("--nosuch", "--nosuch"),
    # Flags, settings and configuration files.
    Case("serve --port x", "--port"),
    Case("serve --port 99999", "--port: must be a whole number from 0 to 65535, not 99999"),
    Case("serve --workers 0", "--workers: must be a whole number from 1 to 64"),
    Case("serve --log-level loud", "--log-level"),
    Case("serve --config folder", "folder"),
    Case("serve --config missing.toml", "missing.toml"),
    Case("serve --config text", "text is not valid TOML"),
    Case("serve --config binary", "binary is not UTF-8 text"),
    Case("serve --config settings.toml", "port (settings.toml, line 1): must be a whole number"),
    Case("serve", "settings.toml, line 2", {"PHOENIX_COMPAT_CONFIG": "settings.toml"}),
    Case("serve", "PHOENIX_COMPAT_PORT: must be", {"PHOENIX_COMPAT_PORT": "x"}),
    Case("serve", "PHOENIX_COMPAT_PROT: this is not a setting", {"PHOENIX_COMPAT_PROT": "1"}),
    Case("serve", "PHOENIX_COMPAT_FILE_HOSTS: must be", {"PHOENIX_COMPAT_FILE_HOSTS": "a"}),
    Case("serve", "REPLICATE_API_TOKEN: has a line break", {"REPLICATE_API_TOKEN": "r8_\nx"}),
    Case("serve", "REPLICATE_API_TOKEN_FILE: ", {"REPLICATE_API_TOKEN_FILE": "missing"}),
    Case("serve", "REPLICATE_API_TOKEN_FILE: ", {"REPLICATE_API_TOKEN_FILE": "folder"}),
    Case("serve", "PUBLIC_URL: must begin with", {"PUBLIC_URL": "example.com"}),
    Case("serve --task-types-file a --kinds-file b", "--kinds-file: is the old name"),
    Case("serve --unix-socket s --workers 2", "--unix-socket: works with one process only"),
    Case("check-config --config missing.toml", "missing.toml"),
    Case("check-config --config settings.toml", "log_level (settings.toml, line 4)"),
    Case("config show --config settings.toml", "data_dir (settings.toml, line 5)"),
    Case("config nosuch", "nosuch"),
    # Addresses to listen on.
    Case("serve --port {taken} --data-dir new", "cannot listen on 127.0.0.1:{taken}: "),
    Case("serve --port {taken} --data-dir new", "or choose another port with --port"),
    Case("serve --port {taken} --data-dir new --workers 2", "cannot listen on 127.0.0.1:{taken}: "),
    Case("serve --port 0 --data-dir new --host a..b", "cannot listen on a..b:0: "),
    Case("serve --port 0 --data-dir new --host a..b --workers 2", "cannot listen on a..b:0: "),
    Case(
        "serve --port 0 --data-dir new --host 192.0.2.1 --insecure-no-auth",
        "cannot listen on 192.0.2.1:0: ",
    ),
    Case("serve --port 0 --data-dir new --host 192.0.2.1", "host is 192.0.2.1"),
    Case(
        "serve --port 0 --data-dir new", "public_url is https://a.b", {"PUBLIC_URL": "https://a.b"}
    ),
    Case("check-config", "public_url is https://a.b", {"PUBLIC_URL": "https://a.b"}),
    Case("check-config", "PHOENIX_COMPAT_AUTH: ", {"PHOENIX_COMPAT_AUTH": '["jwt"]'}),
    Case("serve --unix-socket text --data-dir new", "cannot listen on text: "),
    Case("serve --unix-socket missing/s --data-dir new", "cannot listen on missing/s: "),
    Case("serve --port 0 --data-dir text/data", "text/data/tasks.sqlite3"),
    Case("serve --port 0 --data-dir text", "--data-dir"),
    Case("emulator --port x", "--port"),
    Case("emulator --port 99999", "--port"),
    Case("emulator --port {taken}", "cannot listen on 127.0.0.1:{taken}: "),
    Case("emulator --speed 0", "speed"),
    Case("conformance serve --port 99999", "--port"),
    Case("conformance serve --port {taken}", "cannot listen on 127.0.0.1:{taken}: "),
    Case("conformance serve --port 0 --host a..b", "cannot listen on a..b:0: "),
    Case("conformance serve --allowed-host http://x:1", "--allowed-host"),
    # Data directories and files.
    Case("backup --data-dir missing", "missing/tasks.sqlite3"),
    Case("backup --data-dir home text/", "cannot make text"),
    Case("backup --data-dir text", "--data-dir"),
    Case("backup --data-dir broken out.tar", "broken/tasks.sqlite3"),
    Case("backup --data-dir home missing/out.tar", "missing/out.tar"),
    Case("backup --data-dir home text", "text exists"),
    Case("restore missing.tar", "missing.tar"),
    Case("restore folder", "folder"),
    Case("restore text --data-dir new", "text is not a complete backup"),
    Case("restore binary --check", "binary is not a complete backup"),
    Case("upgrade --data-dir missing", "missing/tasks.sqlite3"),
    Case("upgrade --data-dir broken --plan", "broken/tasks.sqlite3"),
    Case("migrate-store --data-dir home", "database_url: is not set"),
    Case("migrate-store --data-dir home", "postgresql://127.0.0.1:1/x: ", _CLOSED),
    Case("migrate-store --data-dir missing", "missing/tasks.sqlite3", _CLOSED),
    Case("migrate-store --data-dir home", "PHOENIX_COMPAT_DATABASE_URL", _NO_URL),
    Case("nodes", "database_url: is not set"),
    Case("nodes", "postgresql://127.0.0.1:1/x: ", _CLOSED),
    Case("export --data-dir missing", "missing/tasks.sqlite3"),
    Case("export --data-dir broken", "broken/tasks.sqlite3"),
    Case("export --data-dir home missing/out", "missing/out"),
    Case("import --data-dir new missing", "missing"),
    Case("import --data-dir new folder", "folder"),
    Case("import --data-dir new text", "line 1: "),
    Case("import --data-dir new binary", "line 1: "),
    Case("import --data-dir text/data text", "text/data"),
    Case("prune --data-dir missing --older-than 1", "missing/tasks.sqlite3"),
    Case("prune --older-than x", "--older-than"),
    Case("prune --older-than nan", "--older-than"),
    Case("prune --older-than 1e300", "--older-than"),
    Case("prune", "--older-than"),
    Case("keys list --data-dir missing", "missing/tasks.sqlite3"),
    Case("keys list --data-dir broken", "broken/tasks.sqlite3"),
    Case("keys create x --data-dir text", "--data-dir"),
    Case("webhooks list --data-dir missing", "missing/tasks.sqlite3"),
    Case("webhooks replay shop --data-dir broken", "broken/tasks.sqlite3"),
    Case("webhooks replay shop --data-dir home", "there is no webhook 'shop'"),
    Case("keys create x --data-dir text/data", "text/data/"),
    Case("keys create a/b --data-dir new", "the name of a key"),
    Case("keys create x --data-dir new --scope raed", "'raed' is not a scope"),
    Case("keys revoke x --data-dir home", "there is no key named 'x'"),
    Case("keys adopt key:x --data-dir home", "there is no key named 'x'"),
    Case("keys nosuch", "nosuch"),
    Case("doctor --data-dir text", "--data-dir"),
    Case("doctor --nosuch", "--nosuch"),
    # Files to write, tokens, questions.
    Case("init --yes --config text/c.toml", "text/c.toml"),
    Case("init --yes --config folder", "folder"),
    Case("init --yes --config text", "text exists"),
    Case("init --yes --config c.toml --token-file missing", "--token-file"),
    Case("init --yes --config c.toml --token-file binary", "--token-file: "),
    Case("init --yes --config c.toml --port 99999", "--port: must be"),
    Case("init --yes --config c.toml --public-url x", "--public-url: must begin with"),
    Case("init --config c.toml", "not all questions were answered", answers="\n"),
    Case("init --config c.toml", "'x' is not a number", answers="\n\n\nx\n"),
    Case(
        "init --yes --config c.toml",
        "cannot connect to http://127.0.0.1:{closed}/v1",
        {"REPLICATE_API_TOKEN": "r8_x", "REPLICATE_BASE_URL": "http://127.0.0.1:{closed}/v1"},
    ),
    # Servers that do not answer.
    Case("demo --url x", "--url"),
    Case("demo --url http://127.0.0.1:{closed}", "http://127.0.0.1:{closed}"),
    Case("demo --url http://localhost:{closed}", "http://localhost:{closed}"),
    Case("demo --url http://a..b", "http://a..b"),
    Case("demo --out text", "--out"),
    Case("status --url http://127.0.0.1:{closed}", "http://127.0.0.1:{closed}"),
    Case("sockets --url http://127.0.0.1:{closed}", "http://127.0.0.1:{closed}"),
    Case("sockets --order x", "--order"),
    Case("disconnect", "--client"),
    Case("disconnect a --url http://127.0.0.1:{closed}", "http://127.0.0.1:{closed}"),
    Case("broadcast a b [", "must be JSON"),
    Case("broadcast a b --url http://127.0.0.1:{closed}", "http://127.0.0.1:{closed}"),
    Case("completion tcsh", "tcsh"),
    Case("version --nosuch", "--nosuch"),
    Case("openapi x", "x"),
    Case("task create a --input b", "--input"),
    Case("task create a --file image=missing --url http://127.0.0.1:{closed}", "missing"),
    Case("task create a --file image", "--file"),
    Case("task create a", "PHOENIX_COMPAT_KEY must", {"PHOENIX_COMPAT_KEY": "two words"}),
    Case("task create a", "PHOENIX_COMPAT_URL: 'x'", {"PHOENIX_COMPAT_URL": "x"}),
    Case("task list --limit 0", "--limit"),
    Case("task list --status loud", "--status"),
    Case("task list --config missing.toml", "missing.toml"),
    Case("task list --config settings.toml", "port (settings.toml, line 1)"),
    Case("task list --url http://127.0.0.1:{closed}", "http://127.0.0.1:{closed}"),
    Case("task show a --url http://a..b", "http://a..b"),
    Case("task cancel", "TASK_ID"),
    Case("task cancel a --key-file missing", "missing"),
    Case("task retry a --url x", "--url"),
    Case("task watch a --url x", "--url"),
    Case("task watch --url http://127.0.0.1:{closed}", "http://127.0.0.1:{closed}"),
    Case("task watch a --key-file missing", "missing"),
    Case("task watch a --key-file settings.toml", "one key or token"),
    Case("task watch a --url http://127.0.0.1:{closed}", "http://127.0.0.1:{closed}"),
    Case("task watch a --url http://a..b", "http://a..b"),
    Case("healthcheck --port x", "--port"),
    Case("healthcheck --port 99999", "--port: must be a whole number from 1 to 65535"),
    Case("healthcheck --timeout nan", "--timeout"),
    Case("healthcheck", "PHOENIX_COMPAT_PORT: must be", {"PHOENIX_COMPAT_PORT": "x"}),
    Case("healthcheck --config settings.toml", "port (settings.toml, line 1): must be"),
    Case("healthcheck --config missing.toml", "missing.toml"),
    Case("healthcheck --port {closed}", "http://127.0.0.1:{closed}", code=1),
    Case("healthcheck --host a..b", "http://a..b:4000", code=1),
    Case("healthcheck --unix-socket missing", "unix:missing", code=1),
    Case("healthcheck --unix-socket text", "unix:text", code=1),
    Case("conformance run", "URL"),
    Case("conformance run x", "URL"),
    Case("conformance run http://127.0.0.1:99999", "URL"),
    Case("conformance run http://127.0.0.1:{closed}", "http://127.0.0.1:{closed}"),
    Case("conformance run http://localhost:{closed}", "http://localhost:{closed}"),
    Case("conformance run http://a..b", "http://a..b"),
    Case("conformance run --only nosuch", "--list"),
    Case("conformance run --profile 9 --list", "9"),
    Case("conformance run --level x", "--level"),
    Case("conformance run --expected-failures missing", "missing"),
    Case("conformance run --list --expected-failures text", "text:1: "),
    Case("conformance run --list --expected-failures binary", "binary"),
    Case("conformance fuzz", "URL"),
    Case("conformance fuzz x", "URL"),
    Case("conformance fuzz http://127.0.0.1:{closed}", "http://127.0.0.1:{closed}"),
    Case("conformance fuzz http://127.0.0.1:{closed} --against x", "--against"),
    Case("conformance fuzz http://127.0.0.1:{closed} --for x", "--for"),
    Case("conformance fuzz http://127.0.0.1:{closed} --replay missing", "missing"),
    Case("conformance load x", "URL"),
    Case("conformance load http://127.0.0.1:{closed}", "http://127.0.0.1:{closed}"),
    Case("conformance load http://127.0.0.1:{closed} --rate x", "--rate"),
    Case("conformance report x", "URL"),
    Case("conformance report http://127.0.0.1:{closed}", "http://127.0.0.1:{closed}"),
    Case("conformance report http://a..b", "http://a..b"),
    Case("conformance trace", "--rules"),
    Case("conformance trace missing", "missing"),
    Case("conformance trace folder", "folder"),
    Case("conformance trace text", "text: line 1: "),
    Case("conformance trace binary", "binary: line 1: "),
]

NO_ACCESS = [
    Case("serve --config secret", "secret"),
    Case("check-config --config secret", "secret"),
    Case("serve", "REPLICATE_API_TOKEN_FILE: ", {"REPLICATE_API_TOKEN_FILE": "secret"}),
    Case("serve --port 0 --data-dir locked/data", "locked/data"),
    Case("backup --data-dir home locked/out.tar", "locked/out.tar"),
    Case("keys create x --data-dir locked/data", "locked/data"),
    Case("restore secret --data-dir new", "secret"),
    Case("import --data-dir new secret", "secret"),
    Case("export --data-dir home locked/out", "locked/out"),
    Case("init --yes --config locked/c.toml", "locked/c.toml"),
    Case("init --yes --config c.toml --token-file secret", "secret"),
    Case("conformance trace secret", "secret"),
    Case("conformance run --list --expected-failures secret", "secret"),
]
"""Cases with a file that must not be read, and a folder that must not be written."""


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mapping[str, int]]:
    """A working directory with good and bad files; yields a port in use and a closed one."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(("PHOENIX_COMPAT_", "REPLICATE_")) or name == "PUBLIC_URL":
            monkeypatch.delenv(name)
    for name in ("folder", "broken", "locked"):
        (tmp_path / name).mkdir()
    for name in ("text", "broken/tasks.sqlite3", "secret"):
        (tmp_path / name).write_text("hello\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe" * 2_000)
    (tmp_path / "settings.toml").write_text(SETTINGS)
    make_data_dir(tmp_path / "home")
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # a port that is bound, but not listened on, refuses
        yield {"taken": taken.getsockname()[1], "closed": closed.getsockname()[1]}


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """Undo what commands do to the logs of the process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def result_of(case: Case, places: Mapping[str, int]) -> Result:
    """Run a case's command in this process."""
    variables = {name: text.format(**places) for name, text in case.variables.items()}
    arguments = case.command.format(**places).split()
    return CliRunner().invoke(cli, arguments, input=case.answers, env=variables)


def check_style(case: Case, result: Result, places: Mapping[str, int]) -> None:
    """Assert the exit code, that each line is an error, that it names the thing, and the words."""
    lines = [line for line in result.stderr.splitlines() if line and not USAGE.match(line)]
    errors = [line for line in lines if line.startswith("Error: ")]
    assert result.exit_code == case.code, result.output
    assert errors, result.output
    assert all(line.startswith(("Error: ", "  ")) for line in lines), result.stderr
    assert case.names.format(**places) in "\n".join(errors)
    assert TECHNICAL.search(result.stderr) is None, result.stderr
    assert all(len(line) < 400 for line in lines)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_error_of_a_command(case: Case, places: Mapping[str, int]) -> None:
    """It is a line `Error: …` that names the thing, without technical words and traceback."""
    check_style(case, result_of(case, places), places)


@pytest.mark.parametrize("case", NO_ACCESS, ids=str)
def test_a_file_or_folder_without_permission(
    case: Case, places: Mapping[str, int], tmp_path: Path
) -> None:
    """It is reported like every other error."""
    (tmp_path / "secret").chmod(0)
    (tmp_path / "locked").chmod(0o500)
    if os.access("secret", os.R_OK):
        pytest.skip("this user may read everything")

    check_style(case, result_of(case, places), places)


def test_every_command_has_a_case() -> None:
    """A new command needs an example of an error."""

    def names(group: click.Group, prefix: str = "") -> Iterator[str]:
        for name, command in group.commands.items():
            if isinstance(command, click.Group):
                yield from names(command, f"{prefix}{name} ")
            else:
                yield prefix + name

    missing = {
        name
        for name in names(cli)
        if not any(f"{case.command} ".startswith(f"{name} ") for case in CASES)
    }
    assert missing == set()
