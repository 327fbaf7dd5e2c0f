"""Processes that find each other by the secret of their endpoint."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat import Cluster, ConfigError, Endpoint, Guest, Presence
from phoenix_compat.protocol.message import Broadcast
from tests.patience import patient

SECRET = "x" * 64


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, for sockets."""
    with tempfile.TemporaryDirectory(prefix="phx") as path:
        yield Path(path) / "bus"


async def eventually(is_true: Any) -> None:
    """Wait for a condition that other tasks bring about."""
    async with asyncio.timeout(patient(5.0)):
        while not is_true():  # noqa: ASYNC110 - sockets, and no event for it
            await asyncio.sleep(0.001)


async def test_two_endpoints_are_one(folder: Path) -> None:
    """Broadcasts and presences reach the other, until one of them is closed."""
    one, two = (Endpoint(secret_key_base=SECRET) for _ in range(2))
    presences = [Presence(endpoint) for endpoint in (one, two)]
    clusters = [Cluster(folder=folder) for _ in range(2)]
    heard: list[Broadcast] = []
    two.subscribe("room:a", heard.append)

    for cluster, endpoint in zip(clusters, (one, two), strict=True):
        bus = await cluster.open(endpoint)
        await bus.catch_up()
    guest = Guest("room:a")
    presences[0].track(guest, "ann", {})
    one.broadcast("room:a", "news", {"n": 1})
    await eventually(lambda: len(heard) == 2)
    seen = presences[1].list("room:a")
    await clusters[0].close()
    await eventually(lambda: not presences[1].list("room:a"))
    one.broadcast("room:a", "alone", {})
    await clusters[1].close()

    assert [broadcast.event for broadcast in heard[:2]] == ["presence_diff", "news"]
    assert list(seen) == ["ann"]
    assert "alone" not in [broadcast.event for broadcast in heard]
    assert one.pubsub.relay is None


async def test_a_number_is_free_again(folder: Path) -> None:
    """A process that ends gives its number back; the lowest free one is taken."""
    endpoints = [Endpoint(secret_key_base=SECRET) for _ in range(3)]
    first, second, third = (Cluster(folder=folder, max_processes=2) for _ in range(3))

    numbers = [(await first.open(endpoints[0])).node, (await second.open(endpoints[1])).node]
    with pytest.raises(ConfigError, match=r"all 2 numbers of the Cluster are taken"):
        await third.open(endpoints[2])
    await first.close()
    numbers.append((await third.open(endpoints[2])).node)
    await second.close()
    await third.close()

    assert numbers == [0, 1, 0]


async def test_the_folder_that_is_chosen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret, the name and the user decide; the name of the folder does not tell the secret."""
    monkeypatch.setattr(tempfile, "tempdir", str(folder.parent))
    endpoint, other = Endpoint(secret_key_base=SECRET), Endpoint(secret_key_base="y" * 64)

    for cluster, its_endpoint in [
        (Cluster(), endpoint),
        (Cluster(), Endpoint(secret_key_base=SECRET)),
        (Cluster("chat/1"), endpoint),
        (Cluster(), other),
    ]:
        await cluster.open(its_endpoint)
        await cluster.close()

    names = [path.name for path in folder.parent.iterdir()]
    assert len(names) == 3
    assert all(name.startswith(f"phoenix-cluster-{os.geteuid()}-") for name in names)
    assert any(name.endswith("-chat-1") for name in names)
    assert all(path.stat().st_mode & 0o777 == 0o700 for path in folder.parent.iterdir())


async def test_opened_twice(folder: Path) -> None:
    """One Cluster is for one mount."""
    cluster = Cluster(folder=folder)
    await cluster.open(Endpoint(secret_key_base=SECRET))

    with pytest.raises(ConfigError, match=r"write one Cluster\(\) for each mount"):
        await cluster.open(Endpoint(secret_key_base=SECRET))
    await cluster.close()
    await cluster.close()


async def test_without_a_secret(folder: Path) -> None:
    """A random secret differs in each process."""
    with pytest.raises(ConfigError, match=r"write Endpoint\(secret_key_base=\.\.\.\)"):
        await Cluster(folder=folder).open(Endpoint())


def open_to_others(folder: Path) -> None:
    """Others could put a socket into it."""
    folder.mkdir()
    folder.chmod(0o755)


def a_link(folder: Path) -> None:
    """It may lead elsewhere later."""
    folder.symlink_to(folder.parent)


def a_file(folder: Path) -> None:
    """A file has the name."""
    folder.write_text("")


@pytest.mark.parametrize(
    ("prepare", "expected"),
    [
        (open_to_others, "is open to other users: remove it, or write"),
        (a_link, "is open to other users"),
        (a_file, "the Cluster cannot use the folder"),
    ],
)
def test_a_folder_that_cannot_be_used(folder: Path, prepare: Any, expected: str) -> None:
    """Only a folder of this user's own is used."""
    prepare(folder)

    with pytest.raises(ConfigError, match=expected):
        asyncio.run(_open(folder))


async def _open(folder: Path) -> None:
    await Cluster(folder=folder).open(Endpoint(secret_key_base=SECRET))


async def test_a_folder_with_a_long_path(folder: Path) -> None:
    """The path of a Unix socket is short."""
    with pytest.raises(ConfigError, match="is too long for a Unix socket"):
        await Cluster(folder=folder / ("x" * 100)).open(Endpoint(secret_key_base=SECRET))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"name": 5}, 'Cluster: name is 5, but must be a text, such as name="chat"'),
        ({"max_processes": 0}, "Cluster: max_processes is 0, but must be a whole number from 1"),
        ({"max_processes": True}, "Cluster: max_processes is True, but must be a whole number"),
        ({"max_processes": "4"}, "such as max_processes=16"),
        ({"folder": "/run/chat"}, 'but must be a Path, such as Path("/run/chat")'),
    ],
)
def test_wrong_arguments(options: dict[str, Any], expected: str) -> None:
    """The error names the argument and a value that would work."""
    with pytest.raises(ConfigError) as raised:
        Cluster(**options)

    assert expected in str(raised.value)
