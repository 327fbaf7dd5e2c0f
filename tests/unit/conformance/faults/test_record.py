"""Records: numbered, timed, bounded."""

from __future__ import annotations

from phoenix_compat.conformance.faults.record import Kind, Record


def test_entries_are_numbered_and_timed() -> None:
    """Entries count from 1, and tell the seconds since the record began."""
    now_s = [100.0]
    record = Record(lambda: now_s[0])

    record.note(Kind.ATTEMPT, 1)
    now_s[0] += 0.25
    record.note(Kind.STRUCK, 1, topic="fault:drop", note="drop")

    assert [(entry.number, entry.at_s) for entry in record.entries] == [(1, 0.0), (2, 0.25)]
    assert str(record.entries[1]) == "#2 +0.250s [1] struck drop fault:drop"
    assert record.entries[0].to_json() == {
        "number": 1,
        "at_s": 0.0,
        "kind": Kind.ATTEMPT,
        "connection": 1,
    }


def test_a_full_record_counts_what_it_does_not_keep() -> None:
    """The first entries stay, the others are counted."""
    record = Record(lambda: 0.0, max_entries=2)

    for number in range(5):
        record.note(Kind.ATTEMPT, number)

    assert [entry.connection for entry in record.entries] == [0, 1]
    assert record.lost == 3


def test_payloads_are_kept_within_bounds() -> None:
    """Bytes and large payloads leave only their size."""
    record = Record(lambda: 0.0)

    record.note(Kind.RECEIVED, 1, payload=b"1234")
    record.note(Kind.RECEIVED, 1, payload={"text": "x" * 2_000})

    assert [entry.payload for entry in record.entries] == [
        {"bytes": 4},
        {"too_large_to_keep_bytes": 2_011},
    ]


def test_what_a_client_names_is_kept_within_bounds() -> None:
    """Long topics and refs are cut, and what is no UTF-8 can be written all the same."""
    record = Record(lambda: 0.0)

    record.note(Kind.RECEIVED, 1, topic="t" * 1_000, event="\udcff", ref="r" * 1_000, join_ref=7)

    entry = record.entries[0]
    assert (len(entry.topic), entry.event, len(entry.ref), entry.join_ref) == (300, "?", 300, 7)
