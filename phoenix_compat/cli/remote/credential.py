"""Reads the credential of a command from a file, because other users can see its arguments."""

from __future__ import annotations

from typing import IO, Final

import click

_MAX_CREDENTIAL_BYTES: Final = 8 * 1024
"""As many as a server reads."""


def read_credential(file: IO[bytes]) -> str:
    """The credential in a file; it must be able to stand in a header. Raises BadParameter."""
    text = file.read(_MAX_CREDENTIAL_BYTES + 1).decode("ascii", "replace").strip()
    if not text or len(text) > _MAX_CREDENTIAL_BYTES or not all("!" <= one <= "~" for one in text):
        raise click.BadParameter(
            f"{file.name} must contain one key or token and nothing else", param_hint="--key-file"
        )
    return text
