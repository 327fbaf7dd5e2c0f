"""`version`: what is installed."""

# ruff: noqa: PLC0415 - see `phoenix_compat.cli`

from __future__ import annotations

import click

from phoenix_compat.cli.remote.tables import print_fields, print_json
from phoenix_compat.extras import MODULES, is_installed
from phoenix_compat.version import __version__


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def version(*, as_json: bool) -> None:
    """Show the version of this program, of Python, and the installed extras.

    `phoenix-compat --version` prints the version alone.
    """
    import platform

    extras = [extra for extra in MODULES if is_installed(extra)]
    if as_json:
        document = {
            "version": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "extras": extras,
        }
        print_json(document)
        return
    print_fields(
        [
            ("phoenix-compat", __version__),
            ("Python", platform.python_version()),
            ("platform", platform.platform()),
            ("extras", ", ".join(extras)),
        ]
    )
