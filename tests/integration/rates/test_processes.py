"""Limits with several processes, and limits that change in a running server."""

from __future__ import annotations

import signal
from pathlib import Path

import aiohttp

from tests.integration.multiprocess.multiprocess_harness import multiprocess_server
from tests.integration.operations.commands import finish, server
from tests.integration.process.test_reload import line_with
from tests.integration.rates.rates_harness import ALICE, MONK, via_proxy
from tests.integration.task_server import Client

SERVE = ("-m", "phoenix_compat", "serve", "--insecure-no-auth", "--port", "0")


async def test_each_process_counts_the_clients_that_reached_it(tmp_path: Path) -> None:
    """Each has half of the rate. What another process forwards is not counted again, even if Unix
    sockets are trusted, and is not forwarded if it is refused."""
    async with multiprocess_server(
        *SERVE,
        *("--data-dir", str(tmp_path)),
        PHOENIX_COMPAT_TRUSTED_PROXIES='["127.0.0.1", "unix"]',
        PHOENIX_COMPAT_ADDRESS_CREATES_PER_MINUTE="4",
    ) as processes:
        leader = await processes.leader()
        statuses = {
            node: [
                (
                    await processes.request(
                        node, "POST", "/api/tasks", MONK, X_Forwarded_For=f"1.2.3.{number}, {ALICE}"
                    )
                )[0]
                for number in range(3)
            ]
            for node in (1 - leader, leader)
        }

    assert statuses == {1 - leader: [202, 202, 429], leader: [202, 202, 429]}


async def test_a_hangup_changes_rates_and_proxies(tmp_path: Path) -> None:
    """After SIGHUP the new rate holds, and the new proxy is believed."""
    config = tmp_path / "c.toml"
    config.write_text('log_level = "warning"\ndata_dir = "data"')
    async with (
        server(*SERVE, "--config", str(config)) as (process, url),
        aiohttp.ClientSession() as http,
    ):
        client = Client(url, http)
        before = [
            (await client.request("POST", "/api/tasks", json=MONK, headers=via_proxy(ALICE)))[0]
            for _ in range(3)
        ]

        with config.open("a") as more:
            more.write('\ntrusted_proxies = ["127.0.0.1"]\naddress_creates_per_minute = 1')
        process.send_signal(signal.SIGHUP)
        reloaded = await line_with(process, "config.reloaded")
        after = [
            (await client.request("POST", "/api/tasks", json=MONK, headers=via_proxy(ALICE)))[0]
            for _ in range(2)
        ]
        process.send_signal(signal.SIGTERM)
        await finish(process)

    assert "changed=['address_creates_per_minute', 'trusted_proxies'] needs_restart=[]" in reloaded
    assert (before, after) == ([202, 202, 202], [202, 429])
