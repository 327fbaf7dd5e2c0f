"""Who may open the console, and what a browser may do with its pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from phoenix_compat.conformance.suite.wire_client import WireClient
from phoenix_compat.server.control.client import send_command
from phoenix_compat.server.control.key_commands import REVOKE
from phoenix_compat.server.control.messages import SOCKET_NAME
from phoenix_compat.server.http.browsers.response_headers import CONSOLE_POLICY
from tests.integration.console.console_harness import OPERATOR, READER, Console, console_of

HTML = {"Accept": "text/html,application/xhtml+xml"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_console(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    """A server without authentication."""
    async with console_of(tmp_path_factory.mktemp("open")) as console:
        yield console


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def keyed_console(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    """A server whose clients need keys."""
    async with console_of(tmp_path_factory.mktemp("keyed"), auth=("keys",)) as console:
        yield console


async def handshake(console: Console, key: str | None, headers: Mapping[str, str]) -> int:
    """The status with which the console's socket answers."""
    client = await WireClient.connect(console.url)
    query = "vsn=2.0.0" if key is None else f"vsn=2.0.0&token={key}"
    target = f"/console/socket/websocket?{query}"
    try:
        return (await client.handshake(target, extra=list(headers.items()))).status
    finally:
        await client.close()


@pytest.mark.asyncio(loop_scope="module")
class TestWithoutAuthentication:
    """A server on the loopback, as `make run` starts it."""

    async def test_the_page_has_a_strict_policy(self, open_console: Console) -> None:
        """Nothing inline, nothing from elsewhere; an upgrade shows at once."""
        status, text, headers = await open_console.get("/console")

        assert status == 200
        assert "<div id=" in text
        assert headers["Content-Security-Policy"] == CONSOLE_POLICY
        assert headers["Cache-Control"] == "no-cache"
        assert headers["X-Content-Type-Options"] == "nosniff"

    async def test_a_file_that_the_browser_has_is_not_sent_again(
        self, open_console: Console
    ) -> None:
        """The second request is answered with 304."""
        _, _, headers = await open_console.get("/console/static/app.js")

        again = await open_console.get(
            "/console/static/app.js", **{"If-None-Match": headers["ETag"]}
        )

        assert again[:2] == (304, "")

    @pytest.mark.parametrize("name", ["nothing.js", "../context.py", "..%2Fcontext.py", "vendor/"])
    async def test_other_paths_are_not_found(self, open_console: Console, name: str) -> None:
        """Only the files of the folder are served."""
        status, _, _ = await open_console.get(f"/console/static/{name}")

        assert status == 404

    async def test_the_first_page_is_for_browsers_and_for_curl(self, open_console: Console) -> None:
        """Both name the curl line with the address that the client used; browsers get links."""
        line = f"curl {open_console.url}/api/tasks"

        status, page, headers = await open_console.get("/", **HTML)
        _, text, plain = await open_console.get("/", Accept="*/*")

        assert status == 200
        assert headers["Content-Type"].startswith("text/html")
        assert headers["Content-Security-Policy"] == CONSOLE_POLICY
        assert 'href="/console"' in page
        assert line in page
        assert plain["Content-Type"].startswith("text/plain")
        assert line in text

    async def test_the_icon(self, open_console: Console) -> None:
        """Browsers ask for it without being told."""
        status, _, headers = await open_console.get("/favicon.ico")

        assert (status, headers["Content-Type"].split(";")[0]) == (200, "image/svg+xml")

    async def test_it_opens_at_once(self, open_console: Console) -> None:
        """No key is needed; a join is answered with the state."""
        status, session = await open_console.ask("GET", "/api/console/session")
        wire = await open_console.connect(Origin=open_console.url)
        reply = await wire.ask(["1", "1", "admin:overview", "phx_join", {}])
        await wire.close()

        assert status == 200
        assert session["needs_key"] is False
        assert reply[4]["status"] == "ok"
        assert reply[4]["response"]["store"] == "available"

    async def test_a_page_of_another_origin_may_not_connect(self, open_console: Console) -> None:
        """Another port of this machine is another origin; programs have none."""
        here = open_console.url

        assert await handshake(open_console, None, {"Origin": here}) == 101
        assert await handshake(open_console, None, {}) == 101
        for origin in ("http://127.0.0.1:9", "http://evil.example", "null", "http://127.0.0.1"):
            assert await handshake(open_console, None, {"Origin": origin}) == 403, origin

    async def test_apps_cannot_join_its_topics(self, open_console: Console) -> None:
        """The topics exist on the console's own socket only."""
        watch: Any = await open_console.client.watch(await open_console.client.post())
        reply = await watch._wire.ask(["9", "9", "admin:tasks", "phx_join", {}])
        while reply[1] != "9":
            reply = await watch._wire.recv()
        await watch.leave()

        assert reply[4]["response"] == {"reason": "unmatched topic"}


@pytest.mark.asyncio(loop_scope="module")
class TestWithKeys:
    """A server whose clients need keys."""

    @pytest.mark.parametrize(
        ("key", "status"), [(None, 401), ("pck_wrong", 401), (READER, 403), (OPERATOR, 200)]
    )
    async def test_the_session_says_what_a_key_is_good_for(
        self, keyed_console: Console, key: str | None, status: int
    ) -> None:
        """The page asks it, since a refused websocket does not say why."""
        assert (await keyed_console.ask("GET", "/api/console/session", key))[0] == status

    @pytest.mark.parametrize(
        ("key", "status"), [(None, 403), ("pck_wrong", 403), (READER, 403), (OPERATOR, 101)]
    )
    async def test_only_operators_connect(
        self, keyed_console: Console, key: str | None, status: int
    ) -> None:
        """A key of an app is refused like a wrong one."""
        assert await handshake(keyed_console, key, {"Origin": keyed_console.url}) == status

    async def test_every_route_of_the_console_is_for_operators(
        self, keyed_console: Console
    ) -> None:
        """A key of an app gets 403 from each of them, before anything else is checked."""
        routes = [
            (route.method, str(info.get("path") or info.get("formatter")))
            for route in keyed_console.app.router.routes()
            for info in [route.get_info()]
        ]
        routes = [(method, path) for method, path in routes if path.startswith("/api/console/")]
        assert routes

        for method, path in routes:
            if method != "HEAD":
                more: dict[str, Any] = {} if method == "GET" else {"json": {}}
                status, _ = await keyed_console.ask(method, path, READER, **more)
                assert status == 403, (method, path)


async def test_a_revoked_key_closes_its_console(tmp_path: Path) -> None:
    """The socket is closed with 1001 when its key is revoked."""
    async with console_of(tmp_path, auth=("keys",)) as console:
        wire = await console.connect(OPERATOR)
        await wire.join("admin:tasks")

        await send_command(tmp_path / SOCKET_NAME, REVOKE, {"name": "operator"})

        assert await wire.recv_close() == 1001
        await wire.close()
