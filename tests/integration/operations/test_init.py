"""`init`: its questions, the check of the token, and the file, which other users cannot read."""

from __future__ import annotations

import asyncio
import shlex
import sys
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from phoenix_compat.emulator import Emulator, EmulatorSettings
from phoenix_compat.errors import ConfigError
from phoenix_compat.operations.first_config import config_text, path_to_write, write_config
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.process.settings.configuration import load_configuration
from tests.conftest import Serve
from tests.integration.operations.commands import ROOT, Finished, environment, run
from tests.patience import patient

INIT = ("-m", "phoenix_compat", "init", "--config")


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator of Replicate."""
    async with Emulator(EmulatorSettings()) as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file to write, in a folder that does not exist yet."""
    return tmp_path / "etc" / "c.toml"


async def run_with_answers(answers: str, *arguments: str, **changes: str) -> Finished:
    """Run a command with these lines on its standard input."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        cwd=ROOT,
        env=environment(changes),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(patient(20.0)):
        out, err = await process.communicate(answers.encode())
    assert process.returncode is not None
    return Finished(process.returncode, out.decode(), err.decode())


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def values_of(path: Path) -> dict[str, object]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


async def test_the_questions_become_a_file(path: Path, emulator: Emulator) -> None:
    """The token is checked with the provider and not printed; only the owner can read the file."""
    answers = "r8_mine\nhttps://pictures.example\n\n4100\n\n"

    done = await run_with_answers(answers, *INIT, str(path), REPLICATE_BASE_URL=emulator.base_url)
    checked = await run("-m", "phoenix_compat", "check-config", "--config", str(path))

    assert done.code == 0, done.err
    assert "the token is valid; account: emulated" in done.out
    assert "r8_mine" not in done.out
    assert mode_of(path) == 0o600
    assert values_of(path) == {
        "replicate_api_token": "r8_mine",
        "replicate_base_url": emulator.base_url,
        "auth": ["keys"],
        "public_url": "https://pictures.example",
        "trusted_proxies": ["127.0.0.1"],
        "host": "127.0.0.1",
        "port": 4100,
        "total_usd_per_day": 5.0,
    }
    assert (checked.code, checked.err) == (0, "")


async def test_the_commands_that_it_prints_can_be_copied(tmp_path: Path) -> None:
    """With a public URL they create a key and start the server; a path with a space is quoted."""
    path = tmp_path / "my settings.toml"
    done = await run(*INIT, str(path), "--yes", "--public-url", "https://pictures.example")
    printed = [line.partition("phoenix-compat ") for line in done.out.splitlines()]
    create, serve = (shlex.split(rest) for _, found, rest in printed[1:] if found)

    key = await run("-m", "phoenix_compat", *create, "--data-dir", str(tmp_path))

    assert serve == ["serve", "--config", str(path)]
    assert (key.code, key.out.startswith("pck_")) == (0, True), key.err


async def test_only_a_proxy_on_this_machine_is_trusted_from_the_start(path: Path) -> None:
    """If the server listens on other addresses too, its proxy is not known."""
    done = await run(
        *(*INIT, str(path), "--yes", "--public-url", "https://pictures.example"),
        *("--host", "0.0.0.0"),  # noqa: S104 - not listened on
    )

    assert done.code == 0, done.err
    assert values_of(path)["auth"] == ["keys"]
    assert "trusted_proxies" not in values_of(path)


@pytest.mark.parametrize(
    ("answer", "limit"), [("", 5.0), ("0.5", 0.5), ("0", None), (" 12 ", 12.0)]
)
async def test_a_limit_of_five_dollars_a_day_is_proposed(
    path: Path, answer: str, limit: float | None
) -> None:
    """Enter accepts it, another number replaces it, and with 0 there is none."""
    done = await run_with_answers(f"\n\n\n\n{answer}\n", *INIT, str(path))

    assert done.code == 0, done.err
    assert values_of(path).get("total_usd_per_day") == limit


@pytest.mark.parametrize("answer", ["much", "-1", "nan", "1e400"])
async def test_a_limit_that_is_not_an_amount_writes_nothing(path: Path, answer: str) -> None:
    """It is refused with exit code 2."""
    done = await run(*INIT, str(path), "--yes", f"--usd-per-day={answer}")

    assert (done.code, path.exists()) == (2, False)  # noqa: ASYNC240 - nothing else runs
    assert "--usd-per-day" in done.err or "the limit 'much'" in done.err


async def test_flags_answer_everything(path: Path, tmp_path: Path) -> None:
    """With --yes there are no questions; an existing file is replaced only with --force."""
    command = (*INIT, str(path), "--yes", "--port", "4200", "--data-dir", str(tmp_path / "d"))

    first = await run(*command)
    second = await run(*command)
    third = await run(*command, "--force", "--host", "::1")

    assert (first.code, second.code, third.code) == (0, 2, 0), first.err + third.err
    assert "exists; use --force" in second.err
    assert values_of(path) == {"port": 4200, "host": "::1", "data_dir": str(tmp_path / "d")}


async def test_invalid_answers_write_nothing(path: Path, serve: Serve) -> None:
    """An invalid setting and a refused token lead to exit code 2 and no file."""

    async def refuse(_request: web.Request) -> web.Response:
        return web.json_response({"detail": "no"}, status=401)

    app = web.Application()
    app.router.add_get("/v1/account", refuse)
    changes = {
        "REPLICATE_BASE_URL": f"{await serve(app)}/v1",
        "REPLICATE_API_TOKEN": "r8_no",
    }

    wrong = await run(*INIT, str(path), "--yes", "--public-url", "example")
    refused = await run(*INIT, str(path), "--yes", **changes)
    is_written = path.exists()  # noqa: ASYNC240 - nothing else runs
    unchecked = await run(*INIT, str(path), "--yes", "--no-check", **changes)

    assert (wrong.code, refused.code, unchecked.code, is_written) == (2, 2, 0, False)
    assert "--public-url: " in wrong.err
    assert "refuses the token with status 401" in refused.err


async def test_a_link_is_not_followed_or_replaced(path: Path) -> None:
    """Without --force, even a dangling link is left as it is."""
    path.parent.mkdir()
    path.symlink_to("nowhere.toml")  # noqa: ASYNC240 - nothing else runs

    refused = await run(*INIT, str(path), "--yes")

    assert refused.code == 2
    assert "--force to replace it, or --config to name another" in refused.err
    assert path.readlink() == Path("nowhere.toml")  # noqa: ASYNC240 - nothing else runs
    assert not path.exists()  # noqa: ASYNC240 - nothing else runs


def test_the_file_of_an_installed_service_is_not_bypassed(tmp_path: Path) -> None:
    """An installed service would not read a file in the working directory, so the error says which
    file to edit; a named file is written as usual."""
    installed = tmp_path / "config.toml"
    assert path_to_write(None, installed) == Path("phoenix-compat.toml")
    installed.touch()

    with pytest.raises(ConfigError, match="the installed service reads it: edit that file, or"):
        path_to_write(None, installed)

    assert path_to_write(tmp_path / "mine.toml", installed) == tmp_path / "mine.toml"


def test_the_file_names_every_setting(tmp_path: Path) -> None:
    """Each setting is there with its description, but commented out."""
    text = config_text({"host": 'a"b\\c\u007f'})
    path = tmp_path / "c.toml"
    path.write_text(config_text({}))

    assert tomllib.loads(text) == {"host": 'a"b\\c\u007f'}
    for name, field in Settings.model_fields.items():
        assert f"# {name} = " in path.read_text()
        assert f"# {field.description}; variable " in text
    assert load_configuration({}, path, {}).settings == Settings()


@pytest.mark.parametrize(("before", "after"), [(0o640, 0o640), (0o644, 0o640), (0o600, 0o600)])
def test_a_replaced_file_keeps_its_group(tmp_path: Path, before: int, after: int) -> None:
    """A service in the group can still read the file after --force; other users never can."""
    path = tmp_path / "config.toml"
    path.write_text("port = 4001\n")
    path.chmod(before)

    write_config(path, "port = 4002\n", is_replaced=True)

    assert path.read_text() == "port = 4002\n"
    assert path.stat().st_mode & 0o777 == after
