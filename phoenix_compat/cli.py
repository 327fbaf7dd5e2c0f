"""The commands. Each imports what it needs when it runs, so that `--help` is quick."""

# ruff: noqa: PLC0415 - see above
# ruff: noqa: T201 - a command's result goes to stdout

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.version import __version__

if TYPE_CHECKING:
    from phoenix_compat.app.settings import Settings


class _ServeByDefault(click.Group):
    """A group that takes `serve` for granted: the bare command starts the server."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in {"--help", "-h", "--version"}):
            args = ["serve", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ServeByDefault, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="phoenix-compat")
def cli() -> None:
    """Phoenix Channels without Elixir: an image task server that SwiftPhoenixClient can talk to.

    Without a command, `serve`.
    """


@cli.command()
@click.option("--host", help="Address to listen on.  [127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one.  [4000]")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the database lives.  [./data]",
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--log-format", type=click.Choice(["console", "json"]))
def serve(**flags: Any) -> None:
    """Run the task server.

    With REPLICATE_API_TOKEN set it drives Replicate (REPLICATE_BASE_URL for another address);
    without, an emulator that needs no account. Every setting is also an environment variable, as
    PHOENIX_COMPAT_PORT.
    """
    from phoenix_compat.app.logs import configure_logs
    from phoenix_compat.app.main import open_app
    from phoenix_compat.app.server import run, serve_until_signal
    from phoenix_compat.app.settings import load_settings

    settings = load_settings(flags)
    configure_logs(settings.log_level, settings.log_format)

    def started(url: str) -> None:
        print(_greeting(url, settings), flush=True)

    run(
        serve_until_signal(open_app(settings), settings.host, settings.port, started), settings.loop
    )


def _greeting(url: str, settings: Settings) -> str:
    provider = (
        settings.replicate_base_url if settings.has_token else "the emulator, no token needed"
    )
    return f"""phoenix-compat {__version__} listens on {url}
  socket   {url.replace("http", "ws", 1)}/socket   join "task:<task_id>"
  models   {provider}
  data     {settings.data_dir.absolute()}

  curl -s {url}/api/tasks -H 'Content-Type: application/json' \\
    -d '{{"input_data": {{"type": "image", "prompt": "Medieval monk"}}}}'
"""


@cli.command()
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
    from phoenix_compat.app.server import run

    run(_demo(prompt, url, out))


async def _demo(prompt: str, url: str | None, out: Path) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from phoenix_compat.app.demo import run_demo
    from phoenix_compat.app.main import open_app
    from phoenix_compat.app.server import listening
    from phoenix_compat.app.settings import load_settings

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
    print(path.absolute())


@cli.group()
def conformance() -> None:
    """Tools for authors of Phoenix clients and servers."""


@conformance.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=int, default=4001, show_default=True, help="0 takes a free one.")
def conformance_serve(host: str, port: int) -> None:
    """Host the reference channel set, on which the recorded conversations are played."""
    from contextlib import asynccontextmanager

    from phoenix_compat.app.logs import configure_logs
    from phoenix_compat.app.server import run, serve_until_signal
    from phoenix_compat.conformance.reference import build_reference_app

    configure_logs("warning", "console")

    @asynccontextmanager
    async def opened() -> Any:
        yield build_reference_app()

    def started(url: str) -> None:
        print(f"the reference channel set listens on {url}", flush=True)

    run(serve_until_signal(opened(), host, port, started))


def main() -> None:
    """The installed command `phoenix-compat`, and `python server.py`."""
    try:
        cli(prog_name="phoenix-compat")
    except PhoenixCompatError as error:
        print(f"phoenix-compat: {error}", file=sys.stderr)
        sys.exit(2)
