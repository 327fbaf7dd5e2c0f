"""How nodes are let in by NATS and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest

from phoenix_compat.cluster.brokers.broker import BrokerError
from phoenix_compat.cluster.brokers.drivers.nats_broker import NatsBroker
from phoenix_compat.cluster.brokers.drivers.postgres_broker import PostgresBroker
from phoenix_compat.errors import ConfigError
from tests.certificate import write_certificate
from tests.integration.cluster.brokers.broker_client import running
from tests.services.nats import OwnNats
from tests.services.programs import free_port

Start = Callable[..., str]


@pytest.fixture
async def start_nats(tmp_path: Path) -> AsyncIterator[Start]:
    """Start a NATS server with options; returns the address without scheme."""
    servers: list[OwnNats] = []

    def start(*options: str) -> str:
        server = OwnNats(tmp_path, *options)
        servers.append(server)
        server.start()
        return f"127.0.0.1:{server.port}"

    yield start
    for server in servers:
        await asyncio.to_thread(server.kill)


async def _passes_messages(broker: NatsBroker) -> bool:
    async with running(broker, "subject") as client:
        broker.publish("subject", b"heard")
        return await client.wait_for(1) == [("subject", b"heard")]


async def _refusal(broker: NatsBroker | PostgresBroker) -> str:
    await asyncio.to_thread(broker.load)
    with pytest.raises(BrokerError) as refused:
        await broker.run(["subject"], lambda *_: None, lambda: None)
    return str(refused.value)


@pytest.mark.parametrize(
    ("options", "login"),
    [
        (("--user", "ann", "--pass", "se@cret"), "ann:se%40cret"),
        (("--auth", "se@cret"), "se%40cret"),
    ],
)
async def test_a_url_has_the_login(start_nats: Start, options: tuple[str, ...], login: str) -> None:
    """A user with a password, or a token; a wrong one is refused."""
    address = start_nats(*options)

    assert await _passes_messages(NatsBroker(f"nats://{login}@{address}"))
    refusal = await _refusal(NatsBroker(f"nats://{login}x@{address}"))

    assert "Authorization" in refusal
    assert "cret" not in refusal


async def test_tls_is_verified_and_not_given_up(start_nats: Start, tmp_path: Path) -> None:
    """A server whose certificate nobody knows is refused, and so is one without TLS."""
    pem = str(write_certificate(tmp_path))
    address = start_nats("--tls", "--tlscert", pem, "--tlskey", pem)
    plain = start_nats("--user", "ann", "--pass", "secret")

    assert await _passes_messages(NatsBroker(f"tls://{address}?tls_ca={pem}"))
    assert "certificate verify failed" in await _refusal(NatsBroker(f"tls://{address}"))
    assert "secure connection required" in await _refusal(NatsBroker(f"tls://ann:secret@{plain}"))


async def test_a_key_logs_in(start_nats: Start, tmp_path: Path) -> None:
    """The seed of an nkey in a file; a file that is not there is named."""
    nkeys = pytest.importorskip("nkeys", reason="the package nkeys is not installed")
    seed = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER)
    (tmp_path / "user.nk").write_bytes(seed)
    public = nkeys.from_seed(bytearray(seed)).public_key.decode()
    config = tmp_path / "nats.conf"
    config.write_text(f"authorization {{ users = [{{nkey: {public}}}] }}")
    address = start_nats("--config", str(config))

    assert await _passes_messages(NatsBroker(f"nats://{address}?nkey_seed={tmp_path}/user.nk"))
    assert "Authorization" in await _refusal(NatsBroker(f"nats://{address}"))
    assert await _refusal(NatsBroker(f"nats://{address}?nkey_seed=/none.nk")) == (
        "/none.nk: No such file or directory"
    )
    config.with_name("bad.nk").write_text("SUBAD")
    for parameter in ("nkey_seed", "credentials"):
        refusal = await _refusal(NatsBroker(f"nats://{address}?{parameter}={tmp_path}/bad.nk"))
        assert f"{tmp_path}/bad.nk does not contain the " in refusal


@pytest.mark.skipif(find_spec("nkeys") is not None, reason="the package nkeys is installed")
async def test_a_key_needs_a_package(start_nats: Start, tmp_path: Path) -> None:
    """The error says how to install it."""
    (tmp_path / "user.nk").write_text("SU")
    broker = NatsBroker(f"nats://{start_nats()}?nkey_seed={tmp_path}/user.nk")

    assert "pip install nkeys" in await _refusal(broker)


async def test_what_a_user_may_not_do_is_said(start_nats: Start, tmp_path: Path) -> None:
    """A subscription that the server refuses ends the connection, which would be deaf."""
    config = tmp_path / "nats.conf"
    config.write_text(
        'authorization { users = [{user: a, password: b, permissions: {subscribe: "other"}}] }'
    )
    address = start_nats("--config", str(config))

    assert "permissions violation" in (await _refusal(NatsBroker(f"nats://a:b@{address}"))).lower()


async def test_the_limit_of_a_server_is_kept(start_nats: Start, tmp_path: Path) -> None:
    """A longer message is refused here, where the server would end the connection."""
    config = tmp_path / "nats.conf"
    config.write_text("max_payload: 4096")
    broker = NatsBroker(f"nats://{start_nats('--config', str(config))}")
    async with running(broker, "subject") as client:
        assert client.broker.max_payload_bytes == 4096
        assert not client.broker.publish("subject", bytes(4097))
        assert client.broker.publish("subject", bytes(4096))
        assert await client.wait_for(1) == [("subject", bytes(4096))]


async def test_a_user_of_postgresql_without_rights_hears_what_to_grant(postgres_url: str) -> None:
    """Nodes need one table; another user may create it for them."""
    owner = await asyncpg.connect(postgres_url)
    await owner.execute("DROP ROLE IF EXISTS bus_guest; CREATE ROLE bus_guest LOGIN PASSWORD 'p'")
    guest_url = postgres_url.replace("postgres:kept-secret", "bus_guest:p")
    assert guest_url != postgres_url

    refusal = await _refusal(PostgresBroker(guest_url))
    assert "may not create the table phoenix_bus_payloads" in refusal
    await owner.execute(refusal.partition("execute: ")[2])
    assert "permission denied" in await _refusal_of_large(PostgresBroker(guest_url))
    await owner.execute("GRANT SELECT, INSERT, DELETE ON phoenix_bus_payloads TO bus_guest")
    async with running(PostgresBroker(guest_url), "subject") as client:
        client.broker.publish("subject", bytes(20_000))
        assert await client.wait_for(1) == [("subject", bytes(20_000))]

    wrong = await _refusal(PostgresBroker(postgres_url.replace("kept-secret", "guessed")))
    assert "password authentication failed" in wrong
    assert "guessed" not in wrong
    await owner.execute("DROP OWNED BY bus_guest; DROP ROLE bus_guest")
    await owner.close()


async def _refusal_of_large(broker: PostgresBroker) -> str:
    async with running(broker, "subject") as client:
        broker.publish("subject", bytes(20_000))
        with pytest.raises(BrokerError) as refused:
            await client.run
    return str(refused.value)


async def test_a_url_may_name_several_servers(postgres_url: str) -> None:
    """The first one that can be reached is used; the name has all of them, and no login."""
    url = postgres_url.replace("@", f"@127.0.0.1:{free_port()},")
    async with running(PostgresBroker(url), "subject") as client:
        client.broker.publish("subject", b"heard")
        assert await client.wait_for(1) == [("subject", b"heard")]
        assert client.broker.name == f"postgresql://{url.rpartition('@')[2]}"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mysql://ann:secret@one/db",
        "postgresql://a:secret@b:port/c",
        "postgresql://a:secret/more@b/c",
        "postgresql://a:1/secret@b/c",
    ],
)
def test_what_is_not_a_url_of_postgresql_is_refused(url: str) -> None:
    """The error says what to write, and nothing of what was written."""
    with pytest.raises(ConfigError, match="must be postgresql://") as refused:
        PostgresBroker(url)
    assert "secret" not in str(refused.value)
