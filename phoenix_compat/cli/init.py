"""`init`: a few questions, and a commented configuration file."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

import click


@click.command("init")
@click.option(
    "--config",
    "named",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write.  [phoenix-compat.toml]",
)
@click.option(
    "--token-file",
    type=click.File("r", encoding="utf-8", errors="surrogateescape"),
    help="Where to read Replicate's token; - is standard input.  [REPLICATE_API_TOKEN]",
)
@click.option("--public-url", help="How browsers reach the server; empty for not at all.")
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on.")
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Where the database goes."
)
@click.option("--yes", is_flag=True, help="Ask nothing; what is not given stays as it is.")
@click.option("--no-check", is_flag=True, help="Do not ask Replicate whether the token is good.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def init(  # noqa: PLR0913 - the answers
    *,
    named: Path | None,
    token_file: TextIO | None,
    public_url: str | None,
    host: str | None,
    port: int | None,
    data_dir: Path | None,
    yes: bool,
    no_check: bool,
    force: bool,
) -> None:
    """Ask for token, public URL and where to listen, and write a commented configuration file."""
    import asyncio
    import os

    from phoenix_compat.operations.first_config import (
        check_absent,
        checked_token,
        config_text,
        place_to_write,
        write_config,
    )
    from phoenix_compat.server.process.configuration import load_settings
    from phoenix_compat.server.process.logs import configure_logs
    from phoenix_compat.server.process.settings import REPLICATE_URL

    configure_logs("warning", "console")
    path = place_to_write(named)
    if not force:
        check_absent(path)
    given = os.environ.get("REPLICATE_API_TOKEN", "")
    token = token_file.read().strip() if token_file is not None else given
    if not yes:
        token = token or _asked_token()
        public_url = _asked(public_url, "Public URL, as https://example.com (none: empty)", "")
        host = _asked(host, "Address to listen on", "127.0.0.1")
        port = int(_asked(port, "Port to listen on", "4000"))
    base_url = os.environ.get("REPLICATE_BASE_URL", REPLICATE_URL)
    answers: dict[str, str | int | None] = {
        "replicate_api_token": token or None,
        "replicate_base_url": None if base_url == REPLICATE_URL else base_url,
        "public_url": public_url or None,
        "host": host,
        "port": port,
        "data_dir": None if data_dir is None else str(data_dir.absolute()),
    }
    chosen = {name: answer for name, answer in answers.items() if answer is not None}
    load_settings(chosen, Path(os.devnull), {})
    if token and not no_check:
        click.echo(f"the token is good, of {asyncio.run(checked_token(token, base_url))}")
    write_config(path, config_text(chosen), is_replaced=force)
    click.echo(f"{path.absolute()} is written, and others cannot read it")
    click.echo(f"start: phoenix-compat serve --config {path}")


def _asked_token() -> str:
    text = "Replicate's token (none: empty, and the emulator stands in)"
    # Without a terminal nothing can be hidden, and nobody looks.
    hide = sys.stdin.isatty()
    return str(click.prompt(text, default="", hide_input=hide, show_default=False)).strip()


def _asked(value: object, question: str, default: str) -> str:
    if value is not None:
        return str(value)
    return str(click.prompt(question, default=default, show_default=bool(default))).strip()
