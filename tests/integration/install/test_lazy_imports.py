"""What the task server imports only when it needs it, because a start would wait for it."""

from __future__ import annotations

import json

from tests.integration.install.without import python_without

LATER = {"PIL", "httpx", "jwt", "opentelemetry", "prometheus_client", "replicate"}
OF_MANY_MACHINES = {"asyncpg", "nats", "obstore", "redis"}


async def test_a_start_imports_what_it_needs() -> None:
    """The SDK comes with the first request to Replicate, the others with their features."""
    finished = await python_without(
        [],
        """
import json
import phoenix_compat.server.main
has_emulator = "phoenix_compat.emulator" in sys.modules
import phoenix_compat.emulator
print(json.dumps([has_emulator, *sorted({name.partition(".")[0] for name in sys.modules})]))
""",
    )

    assert finished.err == ""
    has_emulator, *imported = json.loads(finished.out)
    assert not has_emulator  # a server with a token needs none
    assert set(imported) & (LATER | OF_MANY_MACHINES) == set()


async def test_a_command_imports_no_other() -> None:
    """What `serve` starts with: neither the other commands, nor what structlog would bring."""
    finished = await python_without(
        [],
        """
import contextlib, json
from phoenix_compat.cli import cli
with contextlib.suppress(SystemExit):
    cli(["serve", "--data-dir", "/dev/null", "--port", "0"])
print(json.dumps(sorted(sys.modules)))
""",
    )

    imported = set(json.loads(finished.out.splitlines()[-1]))
    assert "structlog" in imported
    assert not {"rich", "greenlet", "pydantic_settings"} & imported
    commands = {name for name in imported if name.startswith("phoenix_compat.cli.")}
    assert "phoenix_compat.cli.serve" in commands
    assert not {"init", "keys", "conformance", "remote"} & {one.split(".")[2] for one in commands}
