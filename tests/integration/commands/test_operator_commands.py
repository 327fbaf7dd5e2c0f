"""`status`, `sockets`, `disconnect` and `broadcast`, beside a running server."""

from __future__ import annotations

from pathlib import Path

from tests.integration.commands.invoke import invoke, succeed, succeed_json
from tests.integration.console.console_harness import READER, console_of
from tests.integration.task_server import product, settings_for
from tests.wire import V2, PhoenixWire

GOING_AWAY = 1001


async def test_status(tmp_path: Path) -> None:
    """One screen: what /readyz and the numbers say; as JSON the same."""
    async with product(settings_for(tmp_path)) as client:
        await client.ended(await client.post())
        shown = await succeed("status", "--data-dir", tmp_path)
        document = await succeed_json("status", "--data-dir", tmp_path)

    fields = dict(line.split(maxsplit=1) for line in shown.splitlines())
    assert (fields["server"], fields["state"]) == (client.url, "ready")
    assert len(shown.splitlines()) <= 20
    assert (document["ready"]["status"], document["status"]["processes"]) == ("ready", 1)
    assert document["status"]["tasks"]["tasks_today"] == 1


async def test_status_without_a_key(tmp_path: Path) -> None:
    """What everybody may see is shown, with a warning that says what is missing."""
    async with console_of(tmp_path, auth=("keys",)) as console:
        result = await invoke("status", "--url", console.url)

    assert result.exit_code == 0
    assert "state     ready\n" in result.stdout
    assert result.stderr.startswith("Warning: there are no numbers: ")
    assert "--key-file FILE" in result.stderr


async def test_sockets_and_disconnect(tmp_path: Path) -> None:
    """Clients are listed with owner and topics, and an owner's clients are closed."""
    async with console_of(tmp_path, auth=("keys",)) as console:
        here = ("--data-dir", tmp_path)
        wire = await PhoenixWire.open(console.url, f"{V2}&token={READER}")
        other = await PhoenixWire.open(console.url, f"{V2}&token={READER}")
        table = await invoke("sockets", *here)
        listed = await succeed_json("sockets", "--owner", "key:reader", *here)
        nobody = await succeed_json("sockets", "--text", "needle", *here)
        one = await succeed("disconnect", "--client", listed["clients"][0]["id"], *here)
        rest = await succeed("disconnect", "key:reader", *here)
        closed = [await opened.recv_close(10.0) for opened in (wire, other)]
        for opened in (wire, other):
            await opened.close()
        unknown = await invoke("disconnect", "--client", "0-999999", *here)
        neither = await invoke("disconnect", *here)

    lines = table.stdout.splitlines()
    assert lines[0].split()[:3] == ["CLIENT", "OWNER", "AGE"]
    assert [line.split()[1] for line in lines[1:]] == ["key:reader"] * 2
    assert table.stderr == "2 of 2 clients that match; 2 are connected.\n"
    assert (len(listed["clients"]), nobody["clients"], nobody["connected"]) == (2, [], 2)
    # The server logs to the same stream here.
    assert [text.splitlines()[-1] for text in (one, rest)] == ["1 client was disconnected."] * 2
    assert closed == [GOING_AWAY, GOING_AWAY]
    assert (unknown.exit_code, neither.exit_code) == (2, 2)
    assert "0-999999" in unknown.stderr


async def test_a_key_that_may_not_operate(tmp_path: Path) -> None:
    """The error names the scope that is needed."""
    file = tmp_path / "key"
    file.write_text(READER)
    async with console_of(tmp_path / "data", auth=("keys",)) as console:
        refused = await invoke("sockets", "--url", console.url, "--key-file", file)

    assert refused.exit_code == 2
    assert refused.stderr == (
        f"Error: {console.url} does not let this credential operate it (scope "
        '"operate"); check the key\n'
    )


async def test_broadcast(tmp_path: Path) -> None:
    """A client that listens gets the event; a topic that is not listed is refused."""
    topics = {"publish_topics": ("room:*",), "listen_topics": ("room:*",)}
    async with product(settings_for(tmp_path, **topics)) as client:
        here = ("--data-dir", tmp_path)
        wire = await PhoenixWire.open(client.url)
        await wire.join("room:lobby")
        said = await succeed("broadcast", "room:lobby", "new_msg", '{"body": "hi"}', *here)
        heard = await wire.recv()
        refused = await invoke("broadcast", "task:1", "new_msg", *here)
        wrong = await invoke("broadcast", "room:lobby", "new_msg", "[1]", *here)
        await wire.close()

    assert said == "Published new_msg on room:lobby.\n"
    assert heard[2:] == ["room:lobby", "new_msg", {"body": "hi"}]
    assert (refused.exit_code, wrong.exit_code) == (2, 2)
    assert 'The topic "task:1" is one of this server.' in refused.stderr
    assert "must be a JSON object" in wrong.stderr
