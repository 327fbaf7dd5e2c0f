"""`demo`: order a picture and watch it being made."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click


@click.command()
@click.option("--prompt", default="Medieval monk", show_default=True)
@click.option("--url", help="A running server; without, one is started for the occasion.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("data/demo"),
    show_default=True,
    help="Where the picture goes.",
)
def demo(prompt: str, url: str | None, out: Path) -> None:
    """Order a picture, watch it being made over a Phoenix channel, save it."""
    from phoenix_compat.server.process.listening import run

    run(_demo(prompt, url, out))


async def _demo(prompt: str, url: str | None, out: Path) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from phoenix_compat.operations.demo import run_demo
    from phoenix_compat.server.main import open_app
    from phoenix_compat.server.process.configuration import load_settings
    from phoenix_compat.server.process.listening import listening

    console = Console()
    columns = (TextColumn("{task.description:<10}"), BarColumn(40), TaskProgressColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
        row = bar.add_task("ordering", total=1.0)

        def show(payload: dict[str, Any]) -> None:
            bar.update(row, completed=payload["progress"], description=payload["status"])

        if url is not None:
            path = await run_demo(url.rstrip("/"), prompt, out, show)
        else:
            with tempfile.TemporaryDirectory(prefix="phoenix-compat-") as folder:
                settings = load_settings({"data_dir": Path(folder)})
                async with open_app(settings) as app, listening(app, "127.0.0.1", 0) as own_url:
                    path = await run_demo(own_url, prompt, out, show)
    click.echo(path.absolute())
