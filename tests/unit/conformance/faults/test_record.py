"""Records number and time their entries, and are limited in size."""

from __future__ import annotations

from phoenix_compat.conformance.faults.record import EntryKind, Record


def test_entries_are_numbered_and_timed() -> None:
    """Entries count from 1 and have the seconds since the record began."""
    now_s = [100.0]
    record = Record(lambda: now_s[0])

    record.note(EntryKind.ATTEMPT, 1)
    now_s[0] += 0.25
    record.note(EntryKind.STRUCK, 1, topic="fault:drop", note="drop")

    assert [(entry.number, entry.at_s) for entry in record.entries] == [(1, 0.0), (2, 0.25)]
    assert str(record.entries[1]) == "#2 +0.250s [1] struck drop fault:drop"
    assert record.entries[0].to_json() == {
        "number": 1,
        "at_s": 0.0,
        "kind": EntryKind.ATTEMPT,
        "connection": 1,
    }


def test_a_full_record_counts_dropped_entries() -> None:
    """The first entries stay; further ones are only counted."""
    record = Record(lambda: 0.0, max_entries=2)

    for number in range(5):
        record.note(EntryKind.ATTEMPT, number)

    assert [entry.connection for entry in record.entries] == [0, 1]
    assert record.lost == 3


def test_payloads_are_limited() -> None:
    """Only the size of bytes and of large payloads is recorded."""
    record = Record(lambda: 0.0)

    record.note(EntryKind.RECEIVED, 1, payload=b"1234")
    record.note(EntryKind.RECEIVED, 1, payload={"text": "x" * 2_000})

    assert [entry.payload for entry in record.entries] == [
        {"bytes": 4},
        {"too_large_to_keep_bytes": 2_011},
    ]


def test_names_and_refs_are_limited() -> None:
    """Long topics and refs are cut, and text that is not UTF-8 is replaced."""
    record = Record(lambda: 0.0)

    record.note(
        EntryKind.RECEIVED, 1, topic="t" * 1_000, event="\udcff", ref="r" * 1_000, join_ref=7
    )

    entry = record.entries[0]
    assert (len(entry.topic), entry.event, len(entry.ref), entry.join_ref) == (300, "?", 300, 7)
