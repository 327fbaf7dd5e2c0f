"""Makes random conversations. The same seed and number give the same one.

It avoids what has no defined order in Phoenix: what follows the end of a channel within one burst.
It also avoids what docs/from-phoenix.md lists as different: broadcasts that some of the clients'
serializers cannot encode.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from random import Random
from typing import Any, Final, Literal, TypeAlias, get_args

from phoenix_compat.conformance.fuzz.queries import (
    random_json,
    random_object,
    random_query,
    random_request,
    random_text,
    sendable,
)
from phoenix_compat.conformance.fuzz.script import (
    Client,
    Script,
    Send,
    SendBinary,
    SendFrame,
    Step,
)

ROOM = "room:$ID"
OTHER_ROOM = "room:$ID:2"
PRESENCE = "presence:$ID"
Kind: TypeAlias = Literal["messages", "queries", "requests"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
_KIND_WEIGHTS: Final = (0.6, 0.15, 0.25)

_TOPICS = (ROOM, ROOM, ROOM, OTHER_ROOM, PRESENCE)
_STRANGE_TOPICS = ("task:$ID", "task:missing", "task:crash", "phoenix", "room", "", "nothing:$ID")
_HARMLESS = ("echo", "echo", "echo_error", "reply_ok", "noreply")
_BINARY = ("reply_binary", "push_binary")
_LOUD = ("push", "broadcast", "broadcast", "broadcast_from")
_ENDING = ("stop", "stop_shutdown", "stop_error", "stop_reply", "crash", "no_handler", "phx_error")
_REFS: tuple[Any, ...] = (None, 1, 1.0, False, True, "", "x", [97], 10**20)


class _Writer:
    """Writes the messages of one client, and remembers what it has joined.

    Args:
        is_alone: whether no client speaks another version.
    """

    def __init__(self, rng: Random, client: Client, *, is_alone: bool) -> None:
        self.client = client
        self.is_alone = is_alone
        self.joins: dict[str, Any] = {}
        self._rng = rng
        self._refs = 0

    def ref(self) -> str:
        self._refs += 1
        return str(self._refs)

    def text(self, join_ref: Any, ref: Any, topic: str, event: str, payload: Any) -> str:
        if not self.client.is_v1:
            return _compact([join_ref, ref, topic, event, payload])
        message = {"topic": topic, "event": event, "payload": payload, "ref": ref}
        return _compact(message if join_ref is None else {**message, "join_ref": join_ref})

    def join(self, topic: str) -> str:
        rng, ref = self._rng, self.ref()
        join_ref: Any = ref if rng.random() < 0.9 else rng.choice(_REFS)
        if self.client.is_v1 and rng.random() < 0.7:
            join_ref = None
        self.joins[topic] = join_ref
        payload = {"user": "$ID"} if topic == PRESENCE else random_object(rng)
        return self.text(join_ref, ref, topic, "phx_join", payload)

    def event(self, topic: str, event: str, payload: Any) -> str:
        rng = self._rng
        join_ref = self.joins.get(topic)
        if rng.random() < 0.1:
            join_ref = rng.choice(("0", *_REFS))
        ref: Any = self.ref() if rng.random() < 0.9 else rng.choice(_REFS)
        return self.text(join_ref, ref, topic, event, payload)


def random_script(seed: int, number: int, kind: Kind | None = None) -> Script:
    """One conversation of that kind, or of a random one."""
    rng = Random(f"{seed}:{number}")  # noqa: S311 - not for secrets
    match kind or rng.choices(KINDS, _KIND_WEIGHTS)[0]:
        case "requests":
            return Script(steps=(random_request(rng),))
        case "queries":
            return _query_script(rng)
        case _:
            return _talk(rng)


def _query_script(rng: Random) -> Script:
    """Connect with a query, and ask for what the server understood."""
    query = sendable("&".join(part for part in ("vsn=2.0.0", random_query(rng)) if part))
    client = Client("a", f"/extra/{rng.choice(('websocket', 'longpoll'))}?{query}")
    texts = (
        _compact(["1", "1", ROOM, "phx_join", {}]),
        _compact(["1", "2", ROOM, "whoami", {}]),
    )
    return Script((client,), tuple(Send("a", (text,)) for text in texts), (ROOM,))


def _talk(rng: Random) -> Script:
    clients = tuple(_random_client(rng, name) for name in "abc"[: rng.choice((1, 1, 2, 2, 3))])
    is_alone = len({client.is_v1 for client in clients}) == 1
    writers = [_Writer(rng, client, is_alone=is_alone) for client in clients]
    steps: list[Step] = [Send(writer.client.name, (writer.join(ROOM),)) for writer in writers]
    kinds: list[tuple[int, Callable[[Random, _Writer], Step]]] = [
        (12, _event),
        (4, _burst),
        (3, _join),
        (2, _leave),
        (2, _end),
        (2, _heartbeat),
        (3, _binary),
        (1, _strange),
        (2, _spoilt),
        (1, _frame),
        (1, _fragments),
        (1, _disconnect),
    ]
    weights = [weight for weight, _kind in kinds]
    for _step in range(rng.randint(1, 8)):
        (_weight, kind) = rng.choices(kinds, weights)[0]
        steps.append(kind(rng, rng.choice(writers)))
    return Script(clients, tuple(steps), (ROOM, OTHER_ROOM, PRESENCE))


def _random_client(rng: Random, name: str) -> Client:
    transport = "websocket" if rng.random() < 0.75 else "longpoll"
    version = "2.0.0" if rng.random() < 0.75 else "1.0.0"
    user = "&user=$ID" if rng.random() < 0.3 else ""
    return Client(name, f"/extra/{transport}?vsn={version}{user}")


def _event(rng: Random, writer: _Writer) -> Step:
    topic = rng.choice(_TOPICS)
    if topic == PRESENCE:
        payload = {"a": random_json(rng), **random_object(rng)}
        return Send(writer.client.name, (writer.event(topic, "update", payload),))
    event = rng.choice(_HARMLESS + _LOUD + _BINARY)
    payload = _payload(rng, event)
    if event.startswith("broadcast") and not writer.is_alone and not isinstance(payload, dict):
        payload = {}
    return Send(writer.client.name, (writer.event(topic, event, payload),))


def _payload(rng: Random, event: str) -> Any:
    if event in _BINARY:
        return rng.choice(({}, {"bytes": []}, {"bytes": [0, 255, 10]}, {"bytes": [65] * 130}))
    return random_json(rng) if rng.random() < 0.3 else random_object(rng)


def _burst(rng: Random, writer: _Writer) -> Step:
    """Several events at once, of which none ends a channel."""
    texts = []
    for _text in range(rng.randint(2, 6)):
        can_be_binary = not (writer.client.is_v1 or writer.client.is_long_poll)
        event = rng.choice(_HARMLESS + _LOUD + (_BINARY if can_be_binary else ()))
        payload = _payload(rng, event)
        if event in _LOUD and not isinstance(payload, dict):
            payload = {}
        texts.append(writer.event(rng.choice((ROOM, OTHER_ROOM)), event, payload))
    return Send(writer.client.name, tuple(texts))


def _join(rng: Random, writer: _Writer) -> Step:
    return Send(writer.client.name, (writer.join(rng.choice(_TOPICS)),))


def _leave(rng: Random, writer: _Writer) -> Step:
    topic = rng.choice(_TOPICS)
    return Send(writer.client.name, (writer.event(topic, "phx_leave", random_json(rng)),))


def _end(rng: Random, writer: _Writer) -> Step:
    topic, event = rng.choice((ROOM, OTHER_ROOM)), rng.choice(_ENDING)
    return Send(writer.client.name, (writer.event(topic, event, random_object(rng)),))


def _heartbeat(rng: Random, writer: _Writer) -> Step:
    return Send(
        writer.client.name,
        (writer.event("phoenix", "heartbeat", random_json(rng)),),
    )


def _strange(rng: Random, writer: _Writer) -> Step:
    """A topic that is special, or has no channel."""
    topic = rng.choice(_STRANGE_TOPICS)
    if rng.random() < 0.5:
        return Send(writer.client.name, (writer.join(topic),))
    event = rng.choice(("phx_leave", "echo", "heartbeat", "phx_close"))
    return Send(writer.client.name, (writer.event(topic, event, {}),))


def _binary(rng: Random, writer: _Writer) -> Step:
    if writer.client.is_v1:
        return _event(rng, writer)
    join_ref = writer.joins.get(ROOM)
    join_ref = join_ref if isinstance(join_ref, str) and rng.random() < 0.9 else "0"
    event = rng.choice(("bin", "bin", "echo", "push", *(_LOUD if writer.is_alone else ())))
    parts = [part.encode() for part in (join_ref, writer.ref(), "$IDROOM", event)]
    data = bytes((0, *(len(part) for part in parts))) + b"".join(parts)
    data += bytes(rng.randrange(256) for _byte in range(rng.choice((0, 1, 7))))
    if rng.random() < 0.1:
        data = data[: rng.randrange(6)]
    return SendBinary(writer.client.name, base64.b64encode(data).decode())


def _spoilt(rng: Random, writer: _Writer) -> Step:
    return Send(writer.client.name, (random_text(rng),))


def _frame(rng: Random, writer: _Writer) -> Step:
    """A single frame that often violates RFC 6455; long-polling has none.

    RSV1 in a fragment is left out: Bandit reports it when the message is complete.
    """
    if writer.client.is_long_poll:
        return _heartbeat(rng, writer)
    data = rng.choice((b"", b"\xff", b"x", b"\x03", b"\x03\xe8", b"\x03\xe8\xff", b"\x03\xecbye"))
    is_final = rng.random() < 0.85
    return SendFrame(
        writer.client.name,
        opcode=rng.choice((0, 1, 2, 3, 8, 8, 8, 9, 9, 10, 11)),
        data=base64.b64encode(data).decode(),
        is_final=is_final,
        rsv=rng.choice((0, 0, 0, 0, 1, 4 if is_final else 0)),
        is_masked=rng.random() < 0.95,
    )


def _fragments(rng: Random, writer: _Writer) -> Step:
    """The rest of a message, or one that goes on; fragments need not fit together."""
    if writer.client.is_long_poll:
        return _heartbeat(rng, writer)
    text = writer.event("phoenix", "heartbeat", {}).encode()
    half = text[: len(text) // 2] if rng.random() < 0.5 else text[len(text) // 2 :]
    return SendFrame(
        writer.client.name,
        opcode=rng.choice((0, 1)),
        data=base64.b64encode(half).decode(),
        is_final=rng.random() < 0.5,
    )


def _disconnect(rng: Random, writer: _Writer) -> Step:
    """End the connections of a user, if the client is one."""
    return Send(writer.client.name, (writer.event(ROOM, "disconnect_me", random_json(rng)),))


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
