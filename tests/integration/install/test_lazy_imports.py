"""What the task server imports only when it needs it, because a start would wait for it."""

from __future__ import annotations

import json

from tests.integration.install.without import python_without

LATER = {"httpx", "jwt", "opentelemetry", "prometheus_client", "replicate"}


async def test_a_start_imports_what_it_needs() -> None:
    """The SDK comes with the first request to Replicate, the others with their features."""
    finished = await python_without(
        [],
        """
import json
import phoenix_compat.server.main
import phoenix_compat.emulator
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
""",
    )

    assert finished.err == ""
    assert set(json.loads(finished.out)) & LATER == set()
