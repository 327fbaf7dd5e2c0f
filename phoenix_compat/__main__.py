"""The entry point of `phoenix-compat`, `python -m phoenix_compat` and `python server.py`.

The commands belong to extras of the package. Nothing of a command is imported before its extra is
known to be installed; if it is missing, the error says how to install it.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import Final

from phoenix_compat.errors import ConfigError, PhoenixCompatError
from phoenix_compat.extras import Extra, is_installed, require
from phoenix_compat.version import __version__

COMMANDS: Final[dict[Extra, tuple[str, ...]]] = {
    "server": (
        "serve",
        "init",
        "demo",
        "task",
        "config",
        "check-config",
        "doctor",
        "healthcheck",
        "keys",
        "nodes",
        "webhooks",
        "backup",
        "restore",
        "upgrade",
        "migrate-store",
        "export",
        "import",
        "prune",
        "emulator",
        "status",
        "sockets",
        "disconnect",
        "broadcast",
        "completion",
        "version",
        "openapi",
    ),
    "conformance": ("conformance",),
}
"""The commands of each extra."""

_EXTRA_OF: Final = {name: extra for extra, names in COMMANDS.items() for name in names}
_COMMAND_OF_OPTIONS: Final = "serve"
_COMPLETE_VARIABLE: Final = "_PHOENIX_COMPAT_COMPLETE"
_EXIT_USAGE: Final = 2
_GC_THRESHOLDS: Final = (50_000, 20, 50)


def serve_by_default() -> None:
    """Run the command line; without a command, the server.

    The packages that need no Python begin here too, and are the command `phoenix-compat`.
    """
    is_package = getattr(sys, "frozen", False)
    if len(sys.argv) == 1 and not is_package and _COMPLETE_VARIABLE not in os.environ:
        sys.argv.append(_COMMAND_OF_OPTIONS)
    main()


def main() -> None:
    """Run the command line if the extra that it needs is installed."""
    is_completing = _COMPLETE_VARIABLE in os.environ
    first = sys.argv[1] if len(sys.argv) > 1 and not is_completing else "--help"
    if first == "--version":
        _print(f"phoenix-compat, version {__version__}")
        return
    if first in {"-h", "--help"} and not is_installed("server"):
        if not is_completing:
            _print(_help())
        return
    try:
        _require_command(_COMMAND_OF_OPTIONS if first.startswith("-") else first)
    except PhoenixCompatError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(_EXIT_USAGE)

    # What is imported stays, so collecting it time and again would take a tenth of the start.
    gc.set_threshold(*_GC_THRESHOLDS)
    from phoenix_compat.cli import main as run  # noqa: PLC0415 - it needs click

    run()


def _require_command(name: str) -> None:
    extra = _EXTRA_OF.get(name, "server")
    if name not in _EXTRA_OF and not is_installed(extra):
        raise ConfigError(f"No such command {name!r}. To list them: phoenix-compat --help")
    require(extra)


def _help() -> str:
    """The commands and the extras, for an installation without the extra `server`."""
    return f"""Usage: phoenix-compat [COMMAND] [OPTIONS]

Commands of the task server ({_state("server")}):
  {", ".join(COMMANDS["server"][:7])},
  {", ".join(COMMANDS["server"][7:])}
  To start it: phoenix-compat serve

Commands for authors of Phoenix clients and servers ({_state("conformance")}):
  {", ".join(COMMANDS["conformance"])}

Further extras:
  crypto   encrypted tokens ({_state("crypto")})
  uvloop   a faster event loop for the task server ({_state("uvloop")})
  all      everything but the following

For several machines:
  postgres the tasks, and the bus, on PostgreSQL ({_state("postgres")})
  redis    the bus on Redis or Valkey ({_state("redis")})
  nats     the bus on NATS ({_state("nats")})
  s3       the files in a bucket ({_state("s3")})

The channels library needs no extra: import phoenix_compat
Each installed command has its own --help."""


def _state(extra: Extra) -> str:
    return "installed" if is_installed(extra) else f'pip install "phoenix-compat[{extra}]"'


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()
