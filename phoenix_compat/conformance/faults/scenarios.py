"""Lists the scenarios: for each one a topic that a client joins, and the rule that judges it.

The author of a client writes a small app that uses it (`APP` says what the app does) and runs it
once for each scenario, with the scenario's URL and topic.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from phoenix_compat.conformance.faults import channel_rules, connection_rules
from phoenix_compat.conformance.faults.record_view import Rule

APP: Final = (
    "Connect to the scenario's URL, join its topic, and let the client reconnect and rejoin.",
    "After each successful join, push `echo` with any payload.",
    'On the event `ask`, push `heard` with its payload, or with {"bytes": N} if it is binary.',
    'When `echo` is answered, push `heard` with {"reply": the response}.',
    'When `echo` times out, push `heard` with {"timeout": true}.',
    "When the connection is lost, push `buffered` with any payload, once.",
    'If it knows presence: after each sync, push `heard` with {"present": {key: number of metas}}.',
)
"""What the app does. If the client cannot push, the app uses POST /control/heard instead."""


class Level(StrEnum):
    """The level of a scenario, in the words of RFC 2119."""

    MUST = "MUST"
    SHOULD = "SHOULD"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One test of a client.

    Attributes:
        id: `client/…`; the rest names its session, with `-` in place of `/`.
        why: what goes wrong in practice if the client does not do it.
        phoenix_js: what phoenix.js 1.8 does.
        timeout_s: how long the rule waits, unless the report is final.
    """

    id: str
    level: Level
    topic: str
    rule: Rule
    why: str
    phoenix_js: str
    timeout_s: float = 15.0

    @property
    def session(self) -> str:
        """The name of its session, when each scenario has its own."""
        return self.id.removeprefix("client/").replace("/", "-")

    @property
    def wants(self) -> str:
        """What the rule requires, in one sentence."""
        return (self.rule.__doc__ or "").strip()


_MUST, _SHOULD = Level.MUST, Level.SHOULD
_RECONNECTS: Final = "Reconnects after 10 ms, then rejoins at once."

SCENARIOS: Final = (
    Scenario(
        "client/join/well_formed",
        _MUST,
        "fault:none",
        connection_rules.sends_valid_frames,
        "Phoenix closes with 1011 if a frame is not valid; a ref used twice gets a wrong reply.",
        "Numbers joins, pushes and heartbeats with a single counter.",
    ),
    Scenario(
        "client/heartbeat/sent",
        _MUST,
        "fault:none:id=heartbeat",
        connection_rules.sends_heartbeats,
        "Phoenix closes a connection on which it has received nothing for 60 s.",
        "Sends a heartbeat every 30 s.",
        70.0,
    ),
    Scenario(
        "client/heartbeat/timeout",
        _MUST,
        "fault:silent_heartbeat",
        connection_rules.detects_dead_connection,
        "A dead connection that looks alive delivers nothing any more.",
        "After 30 s without an answer, closes with 1000 `heartbeat timeout` and reconnects.",
        100.0,
    ),
    Scenario(
        "client/heartbeat/half_open",
        _MUST,
        "fault:half_open",
        connection_rules.detects_dead_connection,
        "When a phone changes networks, nothing arrives and nothing is closed.",
        "As in client/heartbeat/timeout; it does not wait for an answer to its close frame.",
        100.0,
    ),
    Scenario(
        "client/reconnect/drop",
        _MUST,
        "fault:drop",
        connection_rules.reconnects,
        "Networks drop connections without a close frame (1006).",
        _RECONNECTS,
    ),
    Scenario(
        "client/reconnect/close_1001",
        _MUST,
        "fault:close:1001",
        connection_rules.reconnects,
        "Phoenix sends 1001 to disconnect a socket id, for example to renew its permissions.",
        _RECONNECTS,
    ),
    Scenario(
        "client/reconnect/close_1011",
        _MUST,
        "fault:close:1011",
        connection_rules.reconnects,
        "Phoenix sends 1011 when the process of a connection has crashed.",
        _RECONNECTS,
    ),
    Scenario(
        "client/reconnect/close_1012",
        _MUST,
        "fault:close:1012",
        connection_rules.reconnects,
        "Phoenix sends 1012 to every client during a deploy.",
        _RECONNECTS,
    ),
    Scenario(
        "client/reconnect/close_4000",
        _SHOULD,
        "fault:close:4000",
        connection_rules.reconnects,
        "Proxies close with their own codes.",
        _RECONNECTS,
    ),
    Scenario(
        "client/reconnect/restart",
        _MUST,
        "fault:restart:500ms",
        connection_rules.backs_off,
        "During a deploy the server does not listen for a while.",
        "Tries after 10, 50, 100, 150, 200, 250, 500, 1000, 2000, then every 5000 ms.",
    ),
    Scenario(
        "client/reconnect/backoff",
        _MUST,
        "fault:outage:503:times=6",
        connection_rules.backs_off,
        "An overloaded server stays overloaded if all clients retry at once.",
        "Tries after 10, 50, 100, 150, 200, 250, 500, 1000, 2000, then every 5000 ms.",
    ),
    Scenario(
        "client/reconnect/forbidden",
        _SHOULD,
        "fault:outage:403:times=5",
        connection_rules.respects_refusal,
        "An expired token is not accepted at the next attempt either.",
        "Cannot see the status; retries forever, with its usual backoff.",
    ),
    Scenario(
        "client/reconnect/accept_then_close",
        _SHOULD,
        "fault:flap:1011:times=8",
        connection_rules.backs_off,
        "All clients reconnect without a pause to a server that accepts and then crashes.",
        "Resets its backoff as soon as a connection opens, so it retries every 10 ms.",
    ),
    Scenario(
        "client/rejoin/crash",
        _MUST,
        "fault:crash",
        channel_rules.rejoins,
        "A crashed channel does not exist on the server until it is joined again.",
        "Rejoins after 1000 ms, on the same connection.",
    ),
    Scenario(
        "client/rejoin/crash_in_push",
        _MUST,
        "fault:crash:on=push",
        channel_rules.rejoins,
        "A push can crash its channel; then its reply never comes.",
        "Rejoins after 1000 ms, on the same connection.",
    ),
    Scenario(
        "client/rejoin/new_join_ref",
        _SHOULD,
        "fault:crash:id=join_ref",
        channel_rules.uses_new_join_ref,
        "With the same join_ref, late messages of the earlier join look like current ones.",
        "Uses the ref of the new join.",
    ),
    Scenario(
        "client/rejoin/refused",
        _SHOULD,
        "fault:refuse_joins:2",
        channel_rules.rejoins,
        "A topic that does not exist yet may exist a second later.",
        "Rejoins after 1000, 2000, 5000, then every 10000 ms.",
        20.0,
    ),
    Scenario(
        "client/rejoin/join_timeout",
        _SHOULD,
        "fault:never:on=join",
        channel_rules.rejoins,
        "A busy server can lose a join.",
        "After 10 s, sends phx_leave, then rejoins as after a refused join.",
        30.0,
    ),
    Scenario(
        "client/rejoin/not_after_close",
        _SHOULD,
        "fault:phx_close",
        channel_rules.does_not_rejoin,
        "phx_close means a normal end: a client that rejoins repeats it forever.",
        "Closes and removes the channel.",
        3.0,
    ),
    Scenario(
        "client/stale/ignored",
        _MUST,
        "fault:stale_ref",
        channel_rules.ignores_stale_messages,
        "After a quick leave and join, phx_close and events of the earlier join still arrive.",
        "Drops every message whose join_ref is not the channel's own.",
    ),
    Scenario(
        "client/push/late_reply",
        _MUST,
        "fault:late:300ms",
        channel_rules.receives_reply_once,
        "A reply may take a while.",
        "Waits up to 10 s for a reply.",
    ),
    Scenario(
        "client/push/timeout",
        _SHOULD,
        "fault:never",
        channel_rules.reports_timeout,
        "A reply may never come; an app that is not notified waits forever.",
        "Notifies the app after 10 s.",
        30.0,
    ),
    Scenario(
        "client/push/reply_once",
        _SHOULD,
        "fault:twice",
        channel_rules.receives_reply_once,
        "A channel may reply twice to the same ref.",
        "Ignores further replies to a ref that has been answered.",
    ),
    Scenario(
        "client/push/buffered",
        _SHOULD,
        "fault:outage:503:times=2:id=buffer",
        channel_rules.buffers_pushes,
        "What a user does while offline should not be lost.",
        "Buffers pushes while it is disconnected and sends them after the rejoin.",
    ),
    Scenario(
        "client/frames/fragmented",
        _MUST,
        "fault:fragment",
        channel_rules.receives_event,
        "Proxies may fragment messages, with control frames in between (RFC 6455 §5.4).",
        "Its websocket reassembles them.",
    ),
    Scenario(
        "client/frames/split",
        _MUST,
        "fault:split",
        channel_rules.receives_event,
        "TCP may split the stream anywhere, even inside a frame's header.",
        "Its websocket reassembles them.",
    ),
    Scenario(
        "client/frames/ping",
        _MUST,
        "fault:ping",
        connection_rules.answers_ping,
        "Proxies send pings and drop clients that do not answer (RFC 6455 §5.5.2).",
        "Its websocket answers.",
    ),
    Scenario(
        "client/events/broadcast",
        _MUST,
        "fault:broadcast",
        channel_rules.receives_event,
        "Most messages of a Phoenix app are broadcasts, which carry no join_ref.",
        "Delivers every message whose join_ref is null.",
    ),
    Scenario(
        "client/events/unknown",
        _MUST,
        "fault:noise",
        channel_rules.receives_event,
        "A newer server may send events that the client does not know.",
        "Ignores unknown messages.",
    ),
    Scenario(
        "client/events/binary",
        _SHOULD,
        "fault:binary",
        channel_rules.receives_bytes,
        "Phoenix sends bytes as binary frames with their own layout.",
        "Gives the app an ArrayBuffer.",
    ),
    Scenario(
        "client/presence/merged",
        _SHOULD,
        "fault:presence",
        channel_rules.merges_presence,
        "A diff may come before the state: a client that drops it never shows that user.",
        "Keeps diffs until the state arrives.",
    ),
    Scenario(
        "client/presence/renewed",
        _SHOULD,
        "fault:presence:id=renewed",
        channel_rules.replaces_presence,
        "Users who left while the client was disconnected must not stay in its list.",
        "Syncs with the new state after each rejoin.",
    ),
)
