"""`demo`: create a task, follow it over a channel, and save the picture."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

import click

from phoenix_compat.cli.options import settings_of
from phoenix_compat.cli.remote.credential import read_credential
from phoenix_compat.cli.remote.server_url import server_url
from phoenix_compat.server.process.config.config_file import DEFAULT_PORT

_CONSOLE: Final = (
    "this server has ended; start one with `phoenix-compat serve` or `make run`, and look at its\n"
    f"tasks in a browser: http://127.0.0.1:{DEFAULT_PORT}/console"
)


@click.command()
@click.option("--prompt", default="Medieval monk", show_default=True, help="What to draw.")
@click.option(
    "--url",
    callback=server_url("http://localhost:4000"),
    help="URL of a running server; without it, one is started for the demo.",
)
@click.option(
    "--key-file",
    type=click.File("rb"),
    help="File that contains an API key or a token for --url; - is standard input.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("data/demo"),
    show_default=True,
    help="Folder for the picture.",
)
def demo(prompt: str, url: str | None, key_file: IO[bytes] | None, out: Path) -> None:
    """Create a task, follow it over a Phoenix channel, and save the picture."""
    if key_file is not None and url is None:
        raise click.UsageError("--key-file needs --url: the demo's own server asks for no key")
    from phoenix_compat.server.process.listening import run

    run(_demo(prompt, url, None if key_file is None else read_credential(key_file), out))


async def _demo(prompt: str, url: str | None, credential: str | None, out: Path) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from phoenix_compat.operations.demo import run_demo
    from phoenix_compat.server.main import open_app
    from phoenix_compat.server.process.listening import listening

    console = Console()
    columns = (TextColumn("{task.description:<10}"), BarColumn(40), TaskProgressColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
        row = bar.add_task("starting", total=1.0)

        def show(payload: Mapping[str, Any]) -> None:
            bar.update(row, completed=payload["progress"], description=payload["status"])

        if url is not None:
            path = await run_demo(url, prompt, out, show, credential)
        else:
            with tempfile.TemporaryDirectory(prefix="phoenix-compat-") as folder:
                configured = settings_of(None, data_dir=Path(folder))
                # It listens on the loopback, for a moment; its only client has no credential.
                settings = configured.model_copy(
                    update={"auth": ("none",), "insecure_no_auth": False}
                )
                async with open_app(settings) as app, listening(app, "127.0.0.1", 0) as own_url:
                    path = await run_demo(own_url, prompt, out, show)
    if url is not None:
        click.echo(f"the console of this server: {url}/console", err=True)
    else:
        click.echo(_CONSOLE, err=True)
    click.echo(path.absolute())
