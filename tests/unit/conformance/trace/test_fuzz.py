"""Any recording can be checked, and its report can be printed."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.conformance.trace import report
from phoenix_compat.conformance.trace.checker import check_trace
from phoenix_compat.conformance.trace.recording import frames
from phoenix_compat.conformance.trace.recording.frames import Entry, Frame, Side, TraceError
from phoenix_compat.conformance.trace.recording.read_trace import read_trace

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
REFS = st.sampled_from(["1", "2", 1, None, "", 0])
TOPICS = st.sampled_from(["room:a", "room:b", "phoenix"]) | JSON
EVENTS = (
    st.sampled_from(
        [
            *("phx_join", "phx_leave", "phx_reply", "phx_close", "phx_error", "heartbeat"),
            *("presence_state", "presence_diff", "msg"),
        ]
    )
    | JSON
)
PAYLOADS = (
    st.sampled_from([{}, {"status": "ok", "response": {}}, {"reason": "channel_crash"}]) | JSON
)
ARRAYS = st.tuples(REFS, REFS, TOPICS, EVENTS, PAYLOADS).map(json.dumps)
OBJECTS = st.fixed_dictionaries(
    {"topic": TOPICS, "event": EVENTS, "payload": PAYLOADS, "ref": REFS},
    optional={"join_ref": REFS},
).map(json.dumps)
ANY_TEXT = st.text(st.characters(), max_size=12)
FRAMES: st.SearchStrategy[Frame] = st.one_of(
    (ARRAYS | OBJECTS | JSON.map(json.dumps) | ANY_TEXT).map(frames.Text),
    st.binary(max_size=12).map(frames.Binary),
    ANY_TEXT.map(frames.Ping),
    ANY_TEXT.map(frames.Pong),
    st.builds(frames.Close, st.integers(), ANY_TEXT),
    st.builds(
        frames.Open,
        st.none() | ANY_TEXT | st.just("ws://x/?vsn=2.0.0"),
        st.sampled_from([101, 403]),
    ),
)
STEPS = st.lists(
    st.tuples(st.sampled_from("ab"), st.none() | st.floats(0, 1e9), st.sampled_from(Side), FRAMES),
    max_size=20,
)


@given(STEPS)
def test_every_recording_is_checked(steps: list[tuple[str, float | None, Side, Frame]]) -> None:
    """No frame makes the checker raise, and its report can be printed as UTF-8."""
    entries = [Entry(n, f"line {n}", *step) for n, step in enumerate(steps, start=1)]

    found = check_trace(entries)

    assert all(line.isprintable() for line in report.format_report(found, entries))
    json.dumps(report.as_json(found, entries))


@pytest.mark.parametrize("depth", [400, 990, 100_000])
@pytest.mark.parametrize("side", Side)
def test_deep_nesting_is_checked(side: Side, depth: int) -> None:
    """Deeply nested JSON is checked, wherever it is in a frame."""
    deep = "[" * depth + "]" * depth
    texts = [
        f'["1","1",{deep},"phx_join",{{}}]',
        f'["1","1","room:a","phx_reply",{deep}]',
        f'[{deep},{deep},"room:a","presence_diff",{deep}]',
    ]
    entries = [
        Entry(number, "", "a", None, side, frames.Text(text))
        for number, text in enumerate(texts, start=1)
    ]

    found = check_trace(entries)

    assert found
    assert "\n".join(report.format_report(found, entries))


@pytest.mark.parametrize("payload", ["null", "[]", '"s"', "1", '{"ann":null}', '{"joins":[]}'])
@pytest.mark.parametrize("event", ["presence_state", "presence_diff", "phx_reply", "phx_close"])
def test_payloads_of_another_type_are_violations(event: str, payload: str) -> None:
    """Payloads of events that the protocol defines may have any JSON type."""
    frame = frames.Text(f'[null,"1","room:a","{event}",{payload}]')

    assert check_trace([Entry(1, "", "a", None, Side.SERVER, frame)])


@pytest.mark.parametrize("name", ["fuzz.har", "fuzz"])
@given(data=st.binary(max_size=60) | ANY_TEXT.map(lambda text: text.encode(errors="replace")))
def test_every_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: bytes
) -> None:
    """For any file, the reader returns entries or raises TraceError."""
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(data)

    with suppress(TraceError):
        assert list(read_trace(path))
