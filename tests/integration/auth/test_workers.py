"""Authentication with several processes: each checks tokens, and the leader sees the headers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from tests.integration.auth.auth_harness import JSON_TYPE, MONK, bearer, join, phoenix_token, target
from tests.integration.multiprocess.multiprocess_harness import (
    MultiprocessServer,
    multiprocess_server,
)
from tests.unit.protocol.token.token_vectors import SECRET as SECRET_KEY_BASE
from tests.unit.server.auth.jwt_builder import SECRET, token

PROCESSES: Final = (0, 1)


async def posted(processes: MultiprocessServer, node: int, *headers: tuple[str, str]) -> Any:
    """POST a task at this process; returns the status and the document."""
    client = await processes.connect(node)
    answer = await client.request("POST", "/api/tasks", [JSON_TYPE, *headers], MONK)
    return answer.status, json.loads(answer.body)


async def test_every_process_checks_tokens(tmp_path: Path) -> None:
    """Whichever process is asked, for HTTP and sockets, with JWT and Phoenix.Token."""
    base = tmp_path / "secret_key_base"
    base.write_text(SECRET_KEY_BASE)
    async with multiprocess_server(
        *("server.py", "serve", "--port", "0", "--data-dir", str(tmp_path / "data")),
        PHOENIX_COMPAT_AUTH='["jwt", "phoenix_token"]',
        PHOENIX_COMPAT_JWT_ALGORITHMS='["HS256"]',
        PHOENIX_COMPAT_JWT_SECRET=SECRET.decode(),
        PHOENIX_COMPAT_PHOENIX_TOKEN_SECRET_KEY_BASE_FILE=str(base),
        PUBLIC_URL="https://a.example",
    ) as processes:
        for node in PROCESSES:
            for good in (token(aud=None), phoenix_token()):
                status, task = await posted(processes, node, bearer(good))
                wire = await processes.wire(node, target(token=good))
                reply = await join(wire, task["task_id"])
                await wire.close()
                assert (status, reply["status"]) == (202, "ok")
            for bad in (token(exp=1), phoenix_token(salt="other")):
                client = await processes.connect(node)
                assert (await posted(processes, node, bearer(bad)))[0] == 401
                assert (await client.handshake(target(token=bad))).status == 403
            assert (await posted(processes, node))[0] == 401
            _, health = await processes.request(node, "GET", "/healthz")
            assert health["auth"]["accepted"] >= 2
            assert health["auth"]["refused"] >= 2
