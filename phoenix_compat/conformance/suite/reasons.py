"""Compares what a step received with what it wanted, and describes each difference."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from phoenix_compat.conformance.suite.cases import JSON, compact_json, shorten
from phoenix_compat.conformance.suite.format_frames import ReceivedText

_SHOWN_CHARS = 600


def matches(wanted: JSON, got: JSON) -> bool:
    """Whether two JSON values are equal: keys in any order, `1`, `1.0` and `true` all different.

    In `wanted`, `"<any>"` matches any value except null, `"<ignored>"` matches null too, and the
    frame `{"exact": text}` matches a text frame with exactly this text.
    """
    if wanted in ("<any>", "<ignored>"):
        return got is not None or wanted == "<ignored>"
    if isinstance(wanted, Mapping) and isinstance(got, Mapping):
        if isinstance(got, ReceivedText) and wanted.keys() == {"exact"}:
            return bool(wanted["exact"] == got.exact)
        return wanted.keys() == got.keys() and all(matches(wanted[key], got[key]) for key in wanted)
    if isinstance(wanted, list) and isinstance(got, list):
        return len(wanted) == len(got) and all(map(matches, wanted, got))
    return type(wanted) is type(got) and bool(wanted == got)


def reasons(
    wanted: Mapping[str, JSON], got: Mapping[str, JSON], unordered: Collection[str] = ()
) -> list[str]:
    """A sentence for each difference between what a step wanted and what it got.

    Args:
        unordered: connections whose frames may come in any order.
    """
    found = []
    for part, name in (("open", "the opening"), ("http", "the answer")):
        if not matches(wanted.get(part), got.get(part)):
            found.append(f"{name}: {_difference(wanted.get(part), got.get(part))}")
    wanted_frames, got_frames = wanted.get("frames", {}), got.get("frames", {})
    for conn in sorted(wanted_frames.keys() | got_frames.keys()):
        pair = wanted_frames.get(conn, []), got_frames.get(conn, [])
        found += [f"{conn}: {reason}" for reason in _frame_reasons(*pair, conn in unordered)]
    return found


def is_incomplete(wanted: Mapping[str, Sequence[JSON]], got: Mapping[str, Sequence[JSON]]) -> bool:
    """Whether frames are missing, while those that came are wanted: the rest may still come.

    Args:
        wanted, got: the frames of each connection.
    """
    pairs = [
        _unmatched(wanted.get(conn, ()), got.get(conn, ())) for conn in wanted.keys() | got.keys()
    ]
    return any(missing for missing, _extra in pairs) and not any(extra for _missing, extra in pairs)


def misses_messages(wanted: JSON, got: JSON) -> bool:
    """Whether the answer to a poll has only the first of the wanted messages, or none of them.

    Args:
        wanted, got: the answer, as in the format of the vectors.
    """
    wanted_messages, got_messages = messages_of(wanted), messages_of(got)
    return (
        wanted_messages is not None
        and got_messages is not None
        and len(got_messages) < len(wanted_messages)
        and all(map(matches, wanted_messages, got_messages))
    )


def messages_of(answer: JSON) -> list[JSON] | None:
    """The messages in the answer to a poll; None if it is not one."""
    body = answer.get("body") if isinstance(answer, Mapping) else None
    messages = body.get("messages") if isinstance(body, Mapping) else None
    return messages if isinstance(messages, list) else None


def _frame_reasons(wanted: Sequence[JSON], got: Sequence[JSON], is_unordered: bool) -> list[str]:  # noqa: FBT001 - private, and named by its caller
    missing, extra = _unmatched(wanted, got)
    if not missing and not extra:
        pairs = zip(_states_last(wanted), _states_last(got), strict=True)
        is_in_order = is_unordered or all(matches(*pair) for pair in pairs)
        return [] if is_in_order else ["the right frames in the wrong order"]
    found = []
    while missing and extra:
        found.append(f"a frame differs: {_frame_difference(missing.pop(0), extra.pop(0))}")
    found += [f"a frame is missing: {describe_frame(frame)}" for frame in missing]
    found += [f"a frame too many: {describe_frame(frame)}" for frame in extra]
    return found


def _states_last(frames: Sequence[JSON]) -> list[JSON]:
    """The frames with each `presence_state` moved behind the diffs of its topic that follow it.

    Phoenix leaves their order open: a task broadcasts a diff, and the channel pushes the state.
    Source: phoenix 1.8.12, lib/phoenix/presence.ex, async_merge/2.
    """
    moved: list[JSON] = []
    for frame in frames:
        event, topic = _event_and_topic(frame)
        place = len(moved)
        while (
            event == "presence_diff"
            and place > 0
            and _event_and_topic(moved[place - 1]) == ("presence_state", topic)
        ):
            place -= 1
        moved.insert(place, frame)
    return moved


def _event_and_topic(frame: JSON) -> tuple[JSON, JSON]:
    """The event and the topic of a text frame; None for what has none."""
    match frame:
        case {"text": [_, _, topic, event, _]}:
            return event, topic
        case {"text": {"topic": topic, "event": event}}:
            return event, topic
        case _:
            return None, None


def _unmatched(wanted: Sequence[JSON], got: Sequence[JSON]) -> tuple[list[JSON], list[JSON]]:
    """The wanted frames that are missing and the extra frames, in any order."""
    missing, extra = [], list(got)
    for frame in wanted:
        partner = next((index for index, one in enumerate(extra) if matches(frame, one)), None)
        if partner is None:
            missing.append(frame)
        else:
            del extra[partner]
    return missing, extra


def _frame_difference(wanted: JSON, got: JSON) -> str:
    """Where two frames differ; for text frames, where their JSON differs."""
    if set(wanted) == set(got) == {"text"}:
        return _difference(wanted["text"], got["text"])
    if set(wanted) == {"exact"} and isinstance(got, ReceivedText):
        return f"exactly {got.exact}, wanted exactly {wanted['exact']}"
    return f"{describe_frame(got)}, wanted {describe_frame(wanted)}"


def _difference(wanted: JSON, got: JSON, path: str = "") -> str:
    """The first place where two values differ, with both values."""
    if isinstance(wanted, Mapping) and isinstance(got, Mapping) and wanted.keys() == got.keys():
        for key in wanted:
            if not matches(wanted[key], got[key]):
                return _difference(wanted[key], got[key], f"{path}.{key}".lstrip("."))
    if isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        for index, pair in enumerate(zip(wanted, got, strict=True)):
            if not matches(*pair):
                return _difference(*pair, f"{path}[{index}]")
    place = f"{path} is " if path else ""
    return f"{place}{_show(got)}, wanted {_show(wanted)}"


def _show(value: JSON) -> str:
    return shorten(compact_json(value), _SHOWN_CHARS)


def describe_frame(shown: JSON) -> str:
    """A frame for people: text as JSON, other frames with their type in front."""
    if isinstance(shown, str):
        return shown
    if isinstance(shown, Mapping) and len(shown) == 1:
        [(kind, value)] = shown.items()
        if kind == "text":
            return _show(value)
        return f"{kind} {shorten(value, _SHOWN_CHARS) if isinstance(value, str) else _show(value)}"
    return _show(shown)


def describe_received(received: Mapping[str, JSON]) -> Iterator[str]:
    """What was wanted or received, one line for each part."""
    if not received:
        yield "nothing"
    for part in ("open", "http"):
        if part in received:
            yield f"{part}: {_show(received[part])}"
    for conn, frames in sorted(received.get("frames", {}).items()):
        for frame in frames:
            yield f"{conn}: {describe_frame(frame)}"
