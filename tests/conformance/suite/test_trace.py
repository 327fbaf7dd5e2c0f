"""The trace checker finds no violation by Phoenix or by this server."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from phoenix_compat.conformance.suite.cases import Case
from phoenix_compat.conformance.suite.catalog import (
    load_suite,
    load_vectors,
    profiles,
    read_vectors,
    rules_left_out,
    select,
)
from phoenix_compat.conformance.trace.checker import Violation, check_trace
from phoenix_compat.conformance.trace.recording.frames import Side
from phoenix_compat.conformance.trace.rules.rule import Level
from phoenix_compat.conformance.trace.rules.rulebook import RULES
from tests.conformance.recording import RecordedWire, Recording, record_case

CASES = {case.id: case for case in load_vectors()}

# Cases in which the client breaks rules on purpose, and the rules that it breaks.
CLIENT_ERRORS = {
    "bad-json": {"client/undecodable"},
    "bad-shape-object-on-v2": {"client/undecodable"},
    "vsn-unsupported": {"client/vsn"},
    "vsn-garbage": {"client/vsn"},
    "leave-not-joined": {"client/leave-not-joined"},
    "leave-stale-join-ref": {"client/duplicate-join", "client/join-ref"},
    "push-stale-join-ref": {"client/duplicate-join", "client/join-ref"},
    "join-twice-same-socket": {"client/duplicate-join"},
    "phoenix-topic-other-event": {"client/not-joined"},
    "push-not-joined": {"client/not-joined"},
    "push-after-leave": {"client/not-joined"},
    "stop-normal": {"client/not-joined"},
    "stop-error": {"client/not-joined"},
    "longpoll-batch-ndjson": {"client/before-join-reply"},
}


UNREADABLE = "frame/text/deep"
"""The checker reads JSON as this server does, which refuses what is nested so deep."""


def describe(violations: list[Violation], who: Side) -> list[str]:
    """The violations of one side, as text."""
    return [
        f"frame {one.entry.number} {one.rule.id} {one.detail} {one.entry.frame}"
        for one in violations
        if one.rule.who is who
    ]


@pytest.mark.parametrize("name", CASES)
def test_phoenix_itself_breaks_no_rule(name: str) -> None:
    """The recordings of Phoenix are correct, so a violation would be a false positive."""
    violations = check_trace(record_case(CASES[name]).entries)

    assert describe(violations, Side.SERVER) == []


def rules_broken_by_phoenix(profile: str) -> set[str]:
    """The rules that the answers of a profile break, over all its cases that can be recorded."""
    broken, recorded = set(), 0
    for case in select(load_suite(profile, ["websocket"]), without=[UNREADABLE]):
        try:
            entries = record_case(case).entries
        except AssertionError:  # a step or a frame that a recording cannot have
            continue
        recorded += 1
        broken |= {one.rule.id for one in check_trace(entries) if one.rule.who is Side.SERVER}
    assert recorded > 150
    return broken


@pytest.mark.parametrize("profile", profiles())
def test_no_version_of_phoenix_breaks_the_rules_of_its_profile(profile: str) -> None:
    """What a version does otherwise than 1.8.12 is left out, and nothing else."""
    assert rules_broken_by_phoenix(profile) == rules_left_out(profile)


def test_the_rules_that_are_left_out_exist() -> None:
    """profiles.json names rules by their ids."""
    named = {
        rule
        for difference in read_vectors("profiles.json")["differences"]
        for rule in difference.get("rules", ())
    }

    assert named
    assert named <= RULES.keys()


@pytest.mark.parametrize("name", CASES)
def test_the_clients_of_the_vectors_break_rules_only_on_purpose(name: str) -> None:
    """Where the recorded client breaks a rule, the case tests that."""
    violations = check_trace(record_case(CASES[name]).entries)

    found = {one.rule.id for one in violations if one.rule.who is Side.CLIENT}
    assert found == CLIENT_ERRORS.get(name, set())


def test_recordings_of_the_vectors_are_not_empty() -> None:
    """Every case has entries, except for plain HTTP requests."""
    empty = [name for name, case in CASES.items() if not record_case(case).entries]

    assert empty == ["websocket-path-plain-get", "longpoll-post-bad-token"]


EVENTS = (
    "echo",
    "echo",
    "push",
    "broadcast",
    "noreply",
    "reply_binary",
    "push_binary",
    "echo_error",
)
ENDINGS = ("stop", "stop_reply", "stop_error", "crash", "unknown")


class RandomClient:
    """A client that sends random messages and waits for no reply."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self._ref = 0
        self._join_refs: dict[str, list[Any]] = {}

    def messages(self, count: int) -> Iterator[list[Any]]:
        """V2 messages: joins, leaves, and events of open and ended joins."""
        for _message in range(count):
            self._ref += 1
            yield self._message(self._random.choice(("room:a", "room:b", "task:1", "nope:1")))

    def _message(self, topic: str) -> list[Any]:
        joined = self._join_refs.setdefault(topic, [])
        chance = self._random.random()
        if chance < 0.1:
            return [None, self._ref, "phoenix", "heartbeat", {}]
        if chance < 0.3 or not joined:
            joined.append(self._random.choice((str(self._ref), None, self._ref)))
            return [joined[-1], str(self._ref), topic, "phx_join", {}]
        join_ref = self._random.choice((joined[-1], joined[-1], joined[-1], None, joined[0]))
        if chance < 0.4:
            return [join_ref, str(self._ref), topic, "phx_leave", {}]
        event = self._random.choice(EVENTS if chance < 0.9 else ENDINGS)
        return [join_ref, str(self._ref), topic, event, {"n": self._ref}]


@pytest.mark.parametrize("seed", range(12))
async def test_this_server_breaks_no_rule_with_random_clients(
    reference_url: str, seed: int
) -> None:
    """With two random clients at once, no frame of the server breaks a MUST."""
    recording = Recording(now_s=None)
    wires = [
        await RecordedWire.open(recording, reference_url, conn, "vsn=2.0.0") for conn in ("a", "b")
    ]
    clients = [RandomClient(seed * 2 + index).messages(150) for index in range(2)]

    for messages in zip(*clients, strict=True):
        for wire, message in zip(wires, messages, strict=True):
            await wire.send(message)
    for wire in wires:
        await wire.finish()

    violations = check_trace(recording.entries)
    errors = [one for one in violations if one.rule.level is Level.MUST]
    assert describe(errors, Side.SERVER) == []
    assert len(recording.entries) > 400


def test_a_changed_recording_breaks_a_rule() -> None:
    """A repeated reply in a recording is found."""
    case: Case = CASES["join-ok-v2"]
    recording = record_case(case)
    recording.entries.append(recording.entries[-1])

    assert describe(check_trace(recording.entries), Side.SERVER) != []
