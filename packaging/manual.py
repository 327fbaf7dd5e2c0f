"""Writes the man pages and the completions of shells that the .deb installs."""

from __future__ import annotations

import gzip
import os
import tempfile
from pathlib import Path

import click
from click_man.core import write_man_pages

from phoenix_compat.cli import cli
from phoenix_compat.cli.shell.completion import PROGRAM, completion_script

COMPLETIONS = {
    "bash": Path("usr/share/bash-completion/completions") / PROGRAM,
    "zsh": Path("usr/share/zsh/vendor-completions") / f"_{PROGRAM}",
    "fish": Path("usr/share/fish/vendor_completions.d") / f"{PROGRAM}.fish",
}
"""Where Debian's shells find the completions of packages, below the root."""
MAN_PAGES = Path("usr/share/man/man1")

_WHOLE_CHARS = 1_000


def write_manual(tree: Path, version: str, epoch_s: int) -> None:
    """Write them below the root of a package.

    Args:
        epoch_s: the date of the man pages.
    """
    for shell, path in COMPLETIONS.items():
        target = tree / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(completion_script(cli, shell), encoding="utf-8")
    folder = tree / MAN_PAGES
    folder.mkdir(parents=True, exist_ok=True)
    _keep_sentences_whole(cli)
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch_s)  # click-man takes the date from it
    with tempfile.TemporaryDirectory() as name:
        write_man_pages(PROGRAM, cli, version=version, target_dir=name)
        for page in sorted(Path(name).iterdir()):
            text = page.read_bytes()
            # As Debian's policy says: compressed as well as possible, without a time.
            (folder / f"{page.name}.gz").write_bytes(gzip.compress(text, 9, mtime=0))


def _keep_sentences_whole(command: click.Command) -> None:
    """Without this, click-man cuts the first sentence of a command after 45 characters."""
    command.short_help = command.get_short_help_str(_WHOLE_CHARS)
    for one in getattr(command, "commands", {}).values():
        _keep_sentences_whole(one)
