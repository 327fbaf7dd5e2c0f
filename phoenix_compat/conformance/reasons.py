"""Says in words where an answer differs from what was wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from phoenix_compat.conformance.cases import JSON, compact_json, shorten

_SHOWN_CHARS = 600


def matches(wanted: JSON, got: JSON) -> bool:
    """Whether two JSON values are the same: keys in any order, `1`, `1.0` and `true` all different.

    `"<any>"` among the wanted matches any value but null.
    """
    if wanted == "<any>":
        return got is not None
    if isinstance(wanted, Mapping) and isinstance(got, Mapping):
        return wanted.keys() == got.keys() and all(matches(wanted[key], got[key]) for key in wanted)
    if isinstance(wanted, list) and isinstance(got, list):
        return len(wanted) == len(got) and all(map(matches, wanted, got))
    return type(wanted) is type(got) and bool(wanted == got)


def reasons(wanted: Mapping[str, JSON], got: Mapping[str, JSON]) -> list[str]:
    """A sentence for each way in which what a step got differs from what it wanted."""
    found = []
    for part, name in (("open", "the opening"), ("http", "the answer")):
        if not matches(wanted.get(part), got.get(part)):
            found.append(f"{name}: {_difference(wanted.get(part), got.get(part))}")
    wanted_frames, got_frames = wanted.get("frames", {}), got.get("frames", {})
    for conn in sorted(wanted_frames.keys() | got_frames.keys()):
        found += [
            f"{conn}: {reason}"
            for reason in _frame_reasons(wanted_frames.get(conn, []), got_frames.get(conn, []))
        ]
    return found


def _frame_reasons(wanted: Sequence[JSON], got: Sequence[JSON]) -> list[str]:
    if matches(list(wanted), list(got)):
        return []
    missing, extra = _unmatched(wanted, got)
    if not missing and not extra:
        return ["the right frames in the wrong order"]
    reasons_found = []
    while missing and extra:
        reasons_found.append(f"a frame differs: {_frame_difference(missing.pop(0), extra.pop(0))}")
    reasons_found += [f"a frame is missing: {in_words(frame)}" for frame in missing]
    reasons_found += [f"a frame too many: {in_words(frame)}" for frame in extra]
    return reasons_found


def _unmatched(wanted: Sequence[JSON], got: Sequence[JSON]) -> tuple[list[JSON], list[JSON]]:
    """The frames that have no partner on the other side, wherever it stands."""
    missing, extra = [], list(got)
    for frame in wanted:
        partner = next((index for index, one in enumerate(extra) if matches(frame, one)), None)
        if partner is None:
            missing.append(frame)
        else:
            del extra[partner]
    return missing, extra


def _frame_difference(wanted: JSON, got: JSON) -> str:
    """Where two frames differ; of text frames the JSON is looked at."""
    if set(wanted) == set(got) == {"text"}:
        return _difference(wanted["text"], got["text"])
    return f"{in_words(got)}, wanted {in_words(wanted)}"


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


def in_words(shown: JSON) -> str:
    """What was heard, for people: a text frame as its JSON, the rest with its kind before it."""
    if isinstance(shown, str):
        return shown
    if isinstance(shown, Mapping) and len(shown) == 1:
        [(kind, value)] = shown.items()
        if kind == "text":
            return _show(value)
        return f"{kind} {shorten(value, _SHOWN_CHARS) if isinstance(value, str) else _show(value)}"
    return _show(shown)


def describe_heard(heard: Mapping[str, JSON]) -> Iterator[str]:
    """What was wanted or got, a line for each thing."""
    if not heard:
        yield "nothing"
    for part in ("open", "http"):
        if part in heard:
            yield f"{part}: {_show(heard[part])}"
    for conn, frames in sorted(heard.get("frames", {}).items()):
        for frame in frames:
            yield f"{conn}: {in_words(frame)}"
