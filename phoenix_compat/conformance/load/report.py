"""Formats the result of a load: as text for people, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from phoenix_compat.conformance.load.histogram import Histogram
from phoenix_compat.conformance.load.plan import LoadPlan
from phoenix_compat.conformance.load.run import LoadOutcome, LoadResult
from phoenix_compat.version import __version__

JSON_FORMAT: Final = 1
"""Increased when readers of the JSON have to change."""

_PERCENTS: Final = (50.0, 90.0, 99.0, 99.9)
_EDGES_S: Final = tuple(n * 10.0**e for e in range(-4, 2) for n in (1, 2, 5))
_BAR: Final = 40


def format_outcome(outcome: LoadOutcome, plan: LoadPlan) -> Iterator[str]:
    """Lines for people; the last one is the result with its reasons."""
    yield (
        f"{outcome.joined} of {plan.connections} connections joined, "
        f"{plan.per_topic} to a topic; {_durations(outcome.join_latency)}"
    )
    yield from (f"  {count} not joined: {reason}" for reason, count in outcome.refused.items())
    yield from (f"  {count} ended before the end: {how}" for how, count in outcome.ends.items())
    for name, sent, received, latency in (
        ("echoes", outcome.echoes_sent, outcome.echoes_received, outcome.echo_latency),
        (
            "broadcasts",
            outcome.broadcasts_sent,
            outcome.broadcasts_received,
            outcome.broadcast_latency,
        ),
    ):
        if sent:
            yield ""
            yield f"{sent} {name} sent, {received} received; {_durations(latency)}"
            yield from _bars(latency)
    yield ""
    yield (
        f"{outcome.missing} missing, {outcome.out_of_order} out of order, "
        f"{outcome.duplicated} duplicated, {outcome.altered} altered"
    )
    yield summarize(outcome)


def summarize(outcome: LoadOutcome) -> str:
    """The result in one line, with its reasons."""
    result = outcome.result
    if result is LoadResult.NOT_JUDGED:
        found = [f"{count} {name}" for name, count in outcome.doubtful.items() if count]
        also = f"; {', '.join(found)}, which may be its fault" if found else ""
        return f"not judged, this program was the bottleneck: {outcome.generator.problem}{also}"
    if result is LoadResult.CLEAN:
        return "clean"
    counts = {**outcome.wrong, **outcome.doubtful}
    words = [f"{count} {name}" for name, count in counts.items() if count]
    if outcome.is_too_slow:
        words[-1] = "more than 1 % took longer than the limit"
    return f"not clean: {', '.join(words)}"


def to_json(outcome: LoadOutcome, plan: LoadPlan, took_s: float) -> str:
    """The result for programs.

    `{"format": 1, "made_by", "url", "connections", "rate", "for_s", "kind", "per_topic",
    "payload_bytes", "took_s", "result", "summary", "joined", "refused": {reason: n}, "ended":
    {how: n}, "sent": {"echo", "broadcast"}, "received": {…}, "missing", "out_of_order",
    "duplicated", "altered", "latency": {"join", "echo", "broadcast": {"count", "p50_ms", "p90_ms",
    "p99_ms", "p99_9_ms", "max_ms", "histogram": [[up to ms, count]]}}, "generator": {"planned",
    "sent", "held_back", "late": {…}, "loop_late": {…}, "busy", "problem"}}`

    `result` is "clean", "not clean" or "not judged". Rows of a histogram that are 0 are left out;
    that of what took longer than 50 s has null.
    """
    document = {
        "format": JSON_FORMAT,
        "made_by": f"phoenix-compat {__version__}",
        "url": plan.url,
        "connections": plan.connections,
        "rate": plan.rate,
        "for_s": plan.for_s,
        "kind": plan.kind,
        "per_topic": plan.per_topic,
        "payload_bytes": plan.payload_bytes,
        "took_s": round(took_s, 3),
        "result": str(outcome.result),
        "summary": summarize(outcome),
        "joined": outcome.joined,
        "refused": dict(outcome.refused),
        "ended": dict(outcome.ends),
        "sent": {"echo": outcome.echoes_sent, "broadcast": outcome.broadcasts_sent},
        "received": {"echo": outcome.echoes_received, "broadcast": outcome.broadcasts_received},
        "missing": outcome.missing,
        "out_of_order": outcome.out_of_order,
        "duplicated": outcome.duplicated,
        "altered": outcome.altered,
        "latency": {
            "join": _numbers(outcome.join_latency),
            "echo": _numbers(outcome.echo_latency),
            "broadcast": _numbers(outcome.broadcast_latency),
        },
        "generator": {
            "planned": outcome.generator.planned,
            "sent": outcome.generator.sent,
            "held_back": outcome.generator.held_back,
            "late": _numbers(outcome.generator.late),
            "loop_late": _numbers(outcome.generator.loop_late),
            "busy": round(outcome.generator.busy, 3),
            "problem": outcome.generator.problem,
        },
    }
    return json.dumps(document, ensure_ascii=False, indent=1)


def _numbers(latency: Histogram) -> dict[str, Any]:
    percents = {
        f"p{percent:g}_ms".replace(".", "_"): _ms(latency.percentile_s(percent))
        for percent in _PERCENTS
    }
    rows = [
        [_ms(edge) if edge < float("inf") else None, count]
        for edge, count in latency.rows(_EDGES_S)
        if count
    ]
    return {
        "count": latency.count,
        **percents,
        "max_ms": _ms(latency.max_s),
        "histogram": rows,
    }


def _durations(latency: Histogram) -> str:
    if not latency.count:
        return "none was measured"
    parts = [f"p{percent:g} {_shown(latency.percentile_s(percent))}" for percent in _PERCENTS]
    return ", ".join([*parts, f"max {_shown(latency.max_s)}"])


def _bars(latency: Histogram) -> Iterator[str]:
    """A bar for each row from the first to the last that has something."""
    rows = list(latency.rows(_EDGES_S))
    filled = [number for number, (_edge, count) in enumerate(rows) if count]
    if not filled:
        return
    most = max(count for _edge, count in rows)
    for edge, count in rows[filled[0] : filled[-1] + 1]:
        name = f"up to {_shown(edge)}" if edge < float("inf") else "longer"
        bar = "#" * (-(-_BAR * count // most))
        yield f"  {name:>12} {count:>9} {bar}".rstrip()


def _shown(duration_s: float) -> str:
    return f"{duration_s:.3g} s" if duration_s >= 1.0 else f"{duration_s * 1e3:.3g} ms"


def _ms(duration_s: float) -> float:
    return round(duration_s * 1e3, 3)
