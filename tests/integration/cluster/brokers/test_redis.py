"""RedisBus beside the contract: logins, TLS, Unix sockets, a Redis cluster, and what logs say."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.cluster.brokers import RedisBus
from phoenix_compat.cluster.brokers.drivers.redis_broker import RedisBroker
from phoenix_compat.errors import ConfigError, MissingExtraError
from tests.certificate import write_certificate
from tests.patience import patient
from tests.services.programs import free_port
from tests.services.redis import OwnRedis
from tests.unit.cluster.harness import KIND, RecordingListener

BEAT_S = 0.1


@asynccontextmanager
async def two_nodes(url: str, **options: Any) -> AsyncIterator[list[RecordingListener]]:
    """Two nodes that know each other."""
    async with (
        RedisBus(url, heartbeat_s=BEAT_S, **options) as one,
        RedisBus(url, heartbeat_s=BEAT_S, **options) as two,
    ):
        listeners = [RecordingListener(one), RecordingListener(two)]
        for listener in listeners:
            await listener.next()
        yield listeners


async def pass_one(listeners: list[RecordingListener]) -> None:
    """Send a cast from one node to the other."""
    one, two = listeners
    one.bus.cast(KIND, b"hello")
    assert await two.next() == (one.bus.node, b"hello")


@pytest.fixture
def redis_with_login(tmp_path: Path) -> Iterator[OwnRedis]:
    """A server with a user who may do nothing but what the bus needs."""
    user = ("--user", "bus", "on", ">kept-secret", "&chat.*", "+subscribe", "+publish")
    server = OwnRedis(tmp_path, "--requirepass", "other-secret", *user)
    server.start()
    yield server
    server.kill()


async def test_a_user_needs_two_commands_and_its_own_channels(
    redis_with_login: OwnRedis, caplog: pytest.LogCaptureFixture
) -> None:
    """A login with the least rights works; another prefix is refused, in words without secrets."""
    url = redis_with_login.url.replace("://", "://bus:kept-secret@")
    async with two_nodes(f"{url}/5", prefix="chat") as listeners:
        await pass_one(listeners)

    await refused(RedisBus(url, prefix="other"), caplog, "no permissions")
    await refused(
        RedisBus(url.replace("kept", "wrong"), prefix="chat"), caplog, "WRONGPASS|invalid"
    )
    await refused(RedisBus(redis_with_login.url, prefix="chat"), caplog, "(?i)auth")
    assert "secret" not in caplog.text


async def refused(bus: RedisBus, caplog: pytest.LogCaptureFixture, reason: str) -> None:
    """The bus opens, and says why it hears nobody."""
    caplog.clear()
    async with bus:
        async with asyncio.timeout(patient(10.0)):
            while "connecting again" not in caplog.text:  # noqa: ASYNC110 - a log line
                await asyncio.sleep(0.01)
        assert bus.counts.connects == 0
        bus.cast(KIND, b"to nobody")
        assert bus.counts.dropped == 1
    [line] = [line for line in caplog.messages if "connecting again" in line]
    assert re.search(reason, line), line


async def test_tls_checks_the_certificate(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`rediss://` trusts the authorities of the system, or the file that the URL names."""
    certificate = await asyncio.to_thread(write_certificate, tmp_path)
    port = free_port()
    server = OwnRedis(
        tmp_path, "--tls-port", str(port), "--tls-cert-file", str(certificate),
        "--tls-key-file", str(certificate), "--tls-ca-cert-file", str(certificate),
        "--tls-auth-clients", "no",
    )  # fmt: skip
    await asyncio.to_thread(server.start)
    try:
        url = f"rediss://127.0.0.1:{port}"
        async with two_nodes(f"{url}?ssl_ca_certs={certificate}") as listeners:
            await pass_one(listeners)
        await refused(RedisBus(url), caplog, "(?i)certificate")
    finally:
        await asyncio.to_thread(server.kill)


async def test_a_unix_socket_is_an_address_too(tmp_path: Path) -> None:
    """For a server on the same machine."""
    path = tmp_path / "redis.sock"
    server = OwnRedis(tmp_path, "--unixsocket", str(path))
    await asyncio.to_thread(server.start)
    try:
        async with two_nodes(f"unix://{path}") as listeners:
            await pass_one(listeners)
    finally:
        await asyncio.to_thread(server.kill)


@pytest.fixture
def redis_cluster(tmp_path: Path) -> Iterator[list[OwnRedis]]:
    """Two servers that share the slots of a Redis cluster."""
    servers = []
    ports = [free_port(), free_port()]
    for port in ports:
        folder = tmp_path / str(port)
        folder.mkdir()
        options = ("--cluster-enabled", "yes", "--cluster-port", str(port))
        servers.append(OwnRedis(folder, *options))
    for server in servers:
        server.start()
    one, two = servers
    one.command("CLUSTER", "ADDSLOTSRANGE", "0", "8191")
    two.command("CLUSTER", "ADDSLOTSRANGE", "8192", "16383")
    one.command("CLUSTER", "MEET", "127.0.0.1", str(two.port), str(ports[1]))
    deadline = time.monotonic() + patient(10.0)
    while not all("cluster_state:ok" in s.command("CLUSTER", "INFO") for s in servers):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield servers
    for server in servers:
        server.kill()


@pytest.mark.parametrize("prefix", ["chat", "chess"])  # slots 11250 and 3543
async def test_a_cluster_uses_one_slot(redis_cluster: list[OwnRedis], prefix: str) -> None:
    """Any server may be named; the one that has the slot of the prefix passes everything on."""
    urls = [server.url for server in redis_cluster]
    async with (
        RedisBus(urls[0], heartbeat_s=BEAT_S, prefix=prefix) as one,
        RedisBus(urls[1], heartbeat_s=BEAT_S, prefix=prefix) as two,
    ):
        listeners = [RecordingListener(one), RecordingListener(two)]
        for listener in listeners:
            await listener.next()
        await pass_one(listeners)
        channels = [server.command("PUBSUB", "SHARDCHANNELS") for server in redis_cluster]
        assert sorted(f"{{{prefix}}}.all" in text for text in channels) == [False, True]


@pytest.mark.parametrize(
    "url",
    [
        "redis:secret",
        "http://user:secret@host",
        "redis://:secret@host:port",
        "redis://",
        "",
        "unix:",
    ],
)
def test_a_wrong_url_is_refused_without_its_secrets(url: str) -> None:
    """The error says what to write, and not what was written."""
    with pytest.raises(ConfigError, match="redis://HOST:PORT") as refused:
        RedisBus(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis://127.0.0.1:1?max_connections=many", "max_connections"),
        ("redis://:secret@127.0.0.1:1?max_conections=1", "max_conections"),
        ("rediss://:secret@127.0.0.1:1?ssl_ca_certs=/nowhere.pem", "No such file"),
    ],
)
async def test_a_wrong_parameter_is_an_error_when_the_bus_opens(url: str, why: str) -> None:
    """redis-py knows its parameters."""
    with pytest.raises(ConfigError, match=why) as refused:
        await RedisBus(url).__aenter__()
    assert "secret" not in str(refused.value)


def test_the_name_has_no_secrets() -> None:
    """It is what logs say."""
    assert RedisBroker("redis://me:secret@host/3?x=y").name == "redis://host:6379"
    assert RedisBroker("rediss://[::1]:7000").name == "rediss://[::1]:7000"
    assert RedisBroker("unix://:secret@/run/redis.sock?db=1").name == "unix:///run/redis.sock"


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without redis-py the class says what to install."""
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(MissingExtraError, match=r"phoenix-compat\[redis\]"):
        RedisBus("redis://host")
