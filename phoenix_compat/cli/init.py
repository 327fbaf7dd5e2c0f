"""`init`: ask a few questions and write a commented configuration file."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TextIO

import click

from phoenix_compat.cli.errors import CommandError


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
    help="File with Replicate's token; - is standard input.  [REPLICATE_API_TOKEN]",
)
@click.option("--public-url", help="How browsers reach the server; empty for none.")
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on.")
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Folder of the database."
)
@click.option(
    "--usd-per-day",
    help="The most that all tasks may cost in a day, in US dollars; 0 for no limit.",
)
@click.option("--yes", is_flag=True, help="Ask nothing; keep the defaults of what is not given.")
@click.option("--no-check", is_flag=True, help="Do not check the token with Replicate.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
def init(  # noqa: PLR0913 - the answers
    *,
    named: Path | None,
    token_file: TextIO | None,
    public_url: str | None,
    host: str | None,
    port: int | None,
    data_dir: Path | None,
    usd_per_day: str | None,
    yes: bool,
    no_check: bool,
    force: bool,
) -> None:
    """Ask for token, public URL, address and limit, and write a commented configuration file."""
    import asyncio
    import os
    import shlex

    from phoenix_compat.operations.first_config import (
        account_of,
        check_absent,
        config_text,
        path_to_write,
        write_config,
    )
    from phoenix_compat.server.auth.exposure import is_exposed, listens_on_loopback
    from phoenix_compat.server.process.logs import configure_logs
    from phoenix_compat.server.process.settings import REPLICATE_URL
    from phoenix_compat.server.process.settings.configuration import load_configuration

    configure_logs("warning", "console")
    path = path_to_write(named)
    if not force:
        check_absent(path)
    given = os.environ.get("REPLICATE_API_TOKEN", "")
    token = token_file.read().strip() if token_file is not None else given
    if not yes:
        token = token or _asked_token()
        public_url = _asked(public_url, "Public URL, as https://example.com (empty: none)", "")
        host = _asked(host, "Address to listen on", "127.0.0.1")
        port = _number(_asked(port, "Port to listen on", "4000"))
        usd_per_day = _asked(usd_per_day, "Limit for all tasks, in US dollars a day (0: none)", "5")
    base_url = os.environ.get("REPLICATE_BASE_URL", REPLICATE_URL)
    answers: dict[str, str | int | float | None] = {
        "replicate_api_token": token or None,
        "replicate_base_url": None if base_url == REPLICATE_URL else base_url,
        "public_url": public_url or None,
        "host": host,
        "port": port,
        "data_dir": None if data_dir is None else str(data_dir.absolute()),
        "total_usd_per_day": _amount(usd_per_day),
    }
    chosen: dict[str, str | int | float | tuple[str, ...]] = {
        name: answer for name, answer in answers.items() if answer is not None
    }
    names = {
        "replicate_api_token": "REPLICATE_API_TOKEN" if token_file is None else "--token-file",
        "replicate_base_url": "REPLICATE_BASE_URL",
        "total_usd_per_day": "--usd-per-day",
    }
    settings = load_configuration(chosen, Path(os.devnull), {}, names).settings
    has_auth = is_exposed(settings)
    if has_auth:
        chosen["auth"] = ("keys",)
        if listens_on_loopback(settings):  # so there is a proxy on this machine
            chosen["trusted_proxies"] = ("127.0.0.1",)
    if token and not no_check:
        click.echo(f"the token is valid; account: {asyncio.run(account_of(token, base_url))}")
    write_config(path, config_text(chosen), is_replaced=force)
    click.echo(f"wrote {path.absolute()}, which other users cannot read")
    option = f"--config {shlex.quote(str(path))}"
    if has_auth:
        click.echo('others can reach this server, so clients need a key (auth = ["keys"]):')
        click.echo(f"  phoenix-compat keys create NAME {option}")
    click.echo(f"start: phoenix-compat serve {option}")


def _number(answer: str) -> int:
    try:
        return int(answer)
    except ValueError as error:
        raise CommandError(f"the port {answer!r} is not a number; run it again") from error


def _amount(answer: str | None) -> float | None:
    """A limit in US dollars; None for no limit."""
    try:
        return float(answer or 0) or None
    except ValueError as error:
        raise CommandError(
            f"the limit {answer!r} is not a number of US dollars; run it again"
        ) from error


def _asked_token() -> str:
    text = "Replicate's token (empty: none, use the emulator)"
    # Without a terminal the input cannot be hidden, and need not be.
    hide = sys.stdin.isatty()
    return _prompt(text, default="", hide_input=hide, show_default=False)


def _asked(value: object, question: str, default: str) -> str:
    if value is not None:
        return str(value)
    return _prompt(question, default=default, show_default=bool(default))


def _prompt(question: str, **options: Any) -> str:
    try:
        return str(click.prompt(question, **options)).strip()
    except click.Abort:  # Ctrl-C, or the end of the input
        click.echo(err=True)
        raise CommandError(
            "not all questions were answered, and nothing was written; run it again, or use --yes"
        ) from None
