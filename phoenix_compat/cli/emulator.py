"""`emulator`: run the emulator of Replicate's HTTP API in a process of its own."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

import click


@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def emulator(arguments: tuple[str, ...]) -> None:
    """Run an emulator of Replicate's HTTP API; --help lists its options."""
    from phoenix_compat.emulator.__main__ import main

    main(args=list(arguments), prog_name="phoenix-compat emulator")
