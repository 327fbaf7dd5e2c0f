"""`init`: ask a few questions and write a commented configuration file."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TextIO, TypeVar

import click

from phoenix_compat.cli.errors import CommandError
from phoenix_compat.errors import ConfigError

T = TypeVar("T")
Answer = str | int | float

_NAMES: Final = {
    "replicate_api_token": "the token",
    "public_url": "the public URL",
    "host": "the address",
    "port": "the port",
    "total_usd_per_day": "the limit",
}
"""How errors name answers."""


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
    """Ask for token, public URL, address and limit, and write a commented configuration file.

    Each answer is checked when it is given; one that is wrong is asked for again.
    """
    from phoenix_compat.operations.first_config import check_absent, check_folder, path_to_write
    from phoenix_compat.server.process.logs import configure_logs
    from phoenix_compat.server.process.settings import REPLICATE_URL

    configure_logs("warning", "console")
    path = path_to_write(named)
    if not force:
        check_absent(path)
    check_folder(path)
    base_url = os.environ.get("REPLICATE_BASE_URL", REPLICATE_URL)
    token = os.environ.get("REPLICATE_API_TOKEN", "")
    token_name = "REPLICATE_API_TOKEN"  # noqa: S105 - a variable
    if token_file is not None:
        token, token_name = token_file.read().strip(), "--token-file"
    given: dict[str, Answer | None] = {
        "replicate_api_token": token or None,
        "replicate_base_url": None if base_url == REPLICATE_URL else base_url,
        "public_url": public_url or None,
        "host": host,
        "port": port,
        "data_dir": None if data_dir is None else str(data_dir.absolute()),
        "total_usd_per_day": None if usd_per_day is None else _amount(usd_per_day, "--usd-per-day"),
    }
    names = {
        "replicate_api_token": token_name,
        "replicate_base_url": "REPLICATE_BASE_URL",
        "total_usd_per_day": "--usd-per-day",
    }
    answers = _Answers(given, names, base_url, is_token_checked=not no_check)
    if not yes:
        answers.ask_token()
        if public_url is None:
            question = "Public URL, as https://example.com (empty: none)"
            answers.ask("public_url", question, "", lambda text: text or None)
        answers.ask("host", "Address to listen on", "127.0.0.1", str)
        answers.ask("port", "Port to listen on", "4000", _number)
        if usd_per_day is None:
            question = "Limit for all tasks, in US dollars a day (0: none)"
            answers.ask("total_usd_per_day", question, "5", _amount)
    _write(path, answers, is_replaced=force)


class _Answers:
    """What was answered, by options and to questions.

    Args:
        given: the answers by options and variables; None for none. They are checked at once.
        names: how errors name these.
        base_url: the address of the provider.

    Raises:
        ConfigError: one that was given is wrong.
    """

    def __init__(
        self,
        given: dict[str, Answer | None],
        names: dict[str, str],
        base_url: str,
        *,
        is_token_checked: bool,
    ) -> None:
        self._base_url = base_url
        self._is_token_checked = is_token_checked
        self.chosen: dict[str, Answer] = {
            name: answer for name, answer in given.items() if answer is not None
        }
        from phoenix_compat.operations.first_config import check_answers

        check_answers(self.chosen, names)
        if "replicate_api_token" in self.chosen:
            self._check_token(str(self.chosen["replicate_api_token"]))

    def ask(
        self, name: str, question: str, default: str, read: Callable[[str], Answer | None]
    ) -> None:
        """Ask for a setting until the answer can be used, unless an option has given it.

        Args:
            read: makes the value of an answer; None for none. Raises ConfigError.
        """
        if name in self.chosen:
            return

        def checked(text: str) -> Answer | None:
            answer = read(text)
            self._check(name, answer)
            return answer

        answer = _asked(question, checked, default=default, show_default=bool(default))
        if answer is not None:
            self.chosen[name] = answer

    def ask_token(self) -> None:
        """Ask for the token, unless it is given, and check it with the provider."""
        name = "replicate_api_token"
        if name in self.chosen:
            return

        def checked(text: str) -> str:
            self._check(name, text or None)
            if text:
                self._check_token(text)
            return text

        # Without a terminal the input cannot be hidden, and need not be.
        token = _asked(
            "Replicate's token (empty: none, use the emulator)",
            checked,
            default="",
            hide_input=is_interactive(),
            show_default=False,
        )
        if token:
            self.chosen[name] = token

    def _check(self, name: str, answer: Answer | None) -> None:
        from phoenix_compat.operations.first_config import check_answers

        if answer is not None:
            check_answers({**self.chosen, name: answer}, _NAMES)

    def _check_token(self, token: str) -> None:
        from phoenix_compat.operations.first_config import ProviderGoneError, account_of

        if not self._is_token_checked:
            return
        try:
            account = asyncio.run(account_of(token, self._base_url))
        except ProviderGoneError as error:
            if not is_interactive():
                raise
            click.echo(f"Error: {error}", err=True)
            if not click.confirm("Keep the token without a check?", default=True):
                raise ConfigError("give another token, or none") from error
        else:
            click.echo(f"the token is valid; account: {account}")


def is_interactive() -> bool:
    """Whether somebody can answer again."""
    return sys.stdin.isatty()


def _write(path: Path, answers: _Answers, *, is_replaced: bool) -> None:
    from phoenix_compat.operations.first_config import check_answers, config_text, write_config
    from phoenix_compat.server.auth.exposure import is_exposed, listens_on_loopback

    settings = check_answers(answers.chosen, _NAMES)
    chosen: dict[str, Any] = dict(answers.chosen)
    has_auth = is_exposed(settings)
    if has_auth:
        chosen["auth"] = ("keys",)
        if listens_on_loopback(settings):  # so there is a proxy on this machine
            chosen["trusted_proxies"] = ("127.0.0.1",)
    write_config(path, config_text(chosen), is_replaced=is_replaced)
    click.echo(f"wrote {path.absolute()}, which other users cannot read")
    option = f"--config {shlex.quote(str(path))}"
    if has_auth:
        click.echo('others can reach this server, so clients need a key (auth = ["keys"]):')
        click.echo(f"  phoenix-compat keys create NAME {option}")
    click.echo(f"start: phoenix-compat serve {option}")


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ConfigError(f"the port {text!r} is not a number") from error


def _amount(text: str, name: str = "the limit") -> float | None:
    """A limit in US dollars; None for no limit."""
    try:
        return float(text or 0) or None
    except ValueError as error:
        raise ConfigError(f"{name} {text!r} is not a number of US dollars") from error


def _asked(question: str, read: Callable[[str], T], **options: Any) -> T:
    """The answer to a question. One that is wrong is asked for again, if somebody is there."""
    while True:
        try:
            text = str(click.prompt(question, **options)).strip()
        except click.Abort:  # Ctrl-C, or the end of the input
            click.echo(err=True)
            raise CommandError(
                "not all questions were answered, and nothing was written; run it again, or use "
                "--yes"
            ) from None
        try:
            return read(text)
        except ConfigError as error:
            if not is_interactive():
                raise ConfigError(f"{error}; nothing was written, run it again") from error
            click.echo(f"Error: {error}", err=True)
