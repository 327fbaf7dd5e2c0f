"""The questions of `init` where somebody answers: a wrong answer is asked for again at once."""

from __future__ import annotations

import asyncio
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from phoenix_compat.cli import cli
from tests.conftest import Serve


@pytest.fixture(autouse=True)
def somebody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a terminal."""
    # By the table of modules: in the package the command has the name of its module.
    monkeypatch.setattr(sys.modules["phoenix_compat.cli.init"], "is_interactive", lambda: True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file to write."""
    return tmp_path / "c.toml"


async def answering(path: Path, *answers: str, options: tuple[str, ...] = (), **env: str) -> Result:
    """Run `init` with these answers."""
    arguments = ["init", "--config", str(path), *options]
    text = "".join(f"{answer}\n" for answer in answers)
    return await asyncio.to_thread(CliRunner().invoke, cli, arguments, input=text, env=env)


def values_of(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


async def replicate(serve: Serve, good_token: str) -> str:
    """An address where one token is accepted."""

    async def account(request: web.Request) -> web.Response:
        is_good = request.headers["Authorization"] == f"Bearer {good_token}"
        document = {"username": "ada"} if is_good else {"detail": "no"}
        return web.json_response(document, status=200 if is_good else 401)

    app = web.Application()
    app.router.add_get("/v1/account", account)
    return f"{await serve(app)}/v1"


async def test_each_wrong_answer_is_asked_for_again(path: Path, serve: Serve) -> None:
    """The token, the URL, the address, the port and the limit; the right answers are kept."""
    url = await replicate(serve, "r8_good")
    done = await answering(
        path,
        *("r8_bad", "r8_good"),
        *("example", "https://pictures.example"),
        *("192.0.2.1", "127.0.0.1"),
        *("x", "99999", "4100"),
        *("much", "-1", "3"),
        REPLICATE_BASE_URL=url,
    )

    assert done.exit_code == 0, done.output
    errors = [line for line in done.output.splitlines() if line.startswith("Error: ")]
    assert [error.split(":")[1].strip() for error in errors[1:]] == [
        "the public URL",
        "the address",
        "the port 'x' is not a number",
        "the port",
        "the limit 'much' is not a number of US dollars",
        "the limit",
    ]
    assert "refuses the token with status 401" in errors[0]
    assert "the token is valid; account: ada" in done.output
    chosen = await asyncio.to_thread(values_of, path)
    assert chosen["replicate_api_token"] == "r8_good"
    assert (chosen["port"], chosen["total_usd_per_day"]) == (4100, 3.0)


@pytest.mark.parametrize(("answer", "is_kept"), [("", True), ("y", True), ("n", False)])
async def test_a_token_that_cannot_be_checked(path: Path, answer: str, *, is_kept: bool) -> None:
    """It can be kept or given again; nothing that was answered is lost."""
    again = () if is_kept else ("",)
    done = await answering(
        path,
        *("r8_mine", answer, *again, "", "", "", ""),
        REPLICATE_BASE_URL="http://127.0.0.1:1/v1",
    )

    assert done.exit_code == 0, done.output
    assert "cannot connect to http://127.0.0.1:1/v1" in done.output
    assert ("replicate_api_token" in await asyncio.to_thread(values_of, path)) == is_kept


async def test_options_are_checked_before_the_questions(path: Path) -> None:
    """A wrong option and a folder that cannot be used end it before anything is asked."""
    wrong = await answering(path, options=("--public-url", "example"))
    nowhere = await answering(path / "c.toml" / "d.toml")
    await asyncio.to_thread(path.touch)
    inside = await answering(path / "c.toml")

    assert [done.exit_code for done in (wrong, inside)] == [2, 2]
    assert "--public-url: " in wrong.output
    assert "is not a folder; choose another file with --config" in inside.output
    assert "Replicate's token" not in wrong.output + inside.output
    assert "not all questions were answered" in nowhere.output
