"""The options that name a running server, and the server that they lead to."""

# ruff: noqa: PLC0415 - see `phoenix_compat.cli`

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from phoenix_compat.cli.options import data_options
from phoenix_compat.cli.remote.credential import read_credential
from phoenix_compat.cli.remote.server_url import server_url

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from phoenix_compat.operations.remote.access import Remote
    from phoenix_compat.operations.remote.api import RemoteApi

Command = TypeVar("Command", bound=Callable[..., Any])

EXAMPLE_URL: Final = "http://localhost:4000"


class ServerOptions(NamedTuple):
    """What `server_options` collects."""

    url: str | None
    credential: str | None
    config: Path | None
    data_dir: Path | None

    async def find(self) -> Remote:
        """The server that is meant; see `find_server`."""
        from phoenix_compat.operations.remote.access import find_server

        flags = {"data_dir": self.data_dir}
        return await find_server(self.url, self.credential, flags, self.config)

    async def api(self, owner: str | None = None) -> AbstractAsyncContextManager[RemoteApi]:
        """Its HTTP API; see `open_api`."""
        from phoenix_compat.operations.remote.api import open_api

        return open_api(await self.find(), owner=owner)


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that name a running server; the command gets them as `server`."""
    from functools import wraps

    @wraps(command)
    def with_server(
        *arguments: Any,
        url: str | None,
        key_file: IO[bytes] | None,
        config: Path | None,
        data_dir: Path | None,
        **options: Any,
    ) -> Any:
        credential = None if key_file is None else read_credential(key_file)
        server = ServerOptions(url, credential, config, data_dir)
        return command(*arguments, server=server, **options)

    key_option = click.option(
        "--key-file",
        type=click.File("rb"),
        help="File that contains an API key or a token; - is standard input.",
    )
    url_option = click.option(
        "--url",
        callback=server_url(EXAMPLE_URL),
        help="URL of the server.  [the one that uses this data directory]",
    )
    return url_option(key_option(data_options(with_server)))


json_option: Callable[[Command], Command] = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON."
)
