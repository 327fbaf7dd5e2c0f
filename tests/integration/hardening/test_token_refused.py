"""A token that no header can carry is refused by every command, and shown by none."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.integration.operations.commands import finish, run, server
from tests.integration.process.test_reload import line_with

COMMAND = ("-m", "phoenix_compat")
TOKEN = "r8_ab\u00e9cdefgh"
TOLD = "a character outside of ASCII at position 6"


async def test_at_the_start(tmp_path: Path) -> None:
    """S3: `serve`, `check-config` and `doctor` say where the odd character is, and nothing else."""
    for arguments in (
        ("serve", "--port", "0", "--data-dir", str(tmp_path)),
        ("check-config",),
        ("doctor", "--data-dir", str(tmp_path)),
        ("config", "show"),
    ):
        finished = await run(*COMMAND, *arguments, REPLICATE_API_TOKEN=TOKEN)

        said_all = finished.out + finished.err
        assert finished.code != 0, arguments
        assert f"REPLICATE_API_TOKEN: has {TOLD}" in said_all, arguments
        assert "r8_ab" not in said_all
        assert "cdefgh" not in said_all
        assert "Traceback" not in said_all


async def test_at_a_reload(tmp_path: Path) -> None:
    """If the token file becomes invalid, a reload changes nothing and logs one line."""
    held, config = tmp_path / "token", tmp_path / "c.toml"
    held.write_text("r8_good")
    config.write_text('data_dir = "data"\nreplicate_api_token_file = "token"')
    arguments = (*COMMAND, "serve", "--port", "0", "--config", str(config))
    async with server(*arguments, REPLICATE_BASE_URL="http://127.0.0.1:9/v1") as (process, _url):
        held.write_text(TOKEN)

        process.send_signal(signal.SIGHUP)
        refused = await line_with(process, "config.refused")

        process.send_signal(signal.SIGTERM)
        finished = await finish(process)

    assert TOLD in refused
    assert "replicate_api_token_file" in refused
    assert "cdefgh" not in refused + finished.err
    assert finished.code == 0


async def test_in_a_first_configuration(tmp_path: Path) -> None:
    """`init` refuses to write one, whatever the encoding of the file it is given."""
    for data in (TOKEN.encode(), TOKEN.encode("latin-1"), b"r8_ab\ncdefgh"):
        held, written = tmp_path / "token", tmp_path / "c.toml"
        held.write_bytes(data)

        finished = await run(
            *(*COMMAND, "init", "--yes", "--no-check", "--config", str(written)),
            *("--token-file", str(held)),
        )

        assert finished.code == 2, finished
        assert "at position 6" in finished.err
        assert "cdefgh" not in finished.out + finished.err
        assert not written.exists()
