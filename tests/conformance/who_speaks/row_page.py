"""Writes the page of one row: how it was made, its areas, and what did not pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from tests.conformance.who_speaks.markdown import code, plain, prose, table
from tests.conformance.who_speaks.record import Finding, Record

GENERATED = "<!-- Made by `python -m tests.conformance.who_speaks page`; do not edit. -->"


def row_page(record: Record) -> str:
    """The text of the page."""
    return "\n".join(_lines(record)) + "\n"


def commands(record: Record) -> Iterator[tuple[str, str]]:
    """The commands that made the row, each with its purpose."""
    subject = record.subject
    yield "started with", code(subject.started_with)
    if subject.kind == "server":
        run = f"phoenix-compat conformance run URL --profile {record.profile} {subject.options}"
        yield "tested with", code(run.rstrip())


def _lines(record: Record) -> Iterator[str]:
    subject = record.subject
    yield GENERATED
    yield f"# {plain(subject.title)}, {plain(subject.runs_on)}"
    yield ""
    yield "A row of [Who speaks Phoenix](../who-speaks-phoenix.md), which says how to read it."
    yield ""
    facts = [
        ("sources", plain(subject.source)),
        *commands(record),
        *([("its app", prose(subject.options))] if subject.kind == "client" else []),
        ("judged by", plain(record.made_by)),
        ("date", record.date),
    ]
    yield from table(("", ""), facts)
    yield ""
    for note in subject.notes:
        yield prose(note)
        yield ""
    yield "## Areas"
    yield ""
    played = "Cases" if subject.kind == "server" else "Scenarios"
    yield f"{played} that passed, of those that were played."
    yield ""
    yield from _areas(record)
    yield ""
    yield from _section("Failed", record.failed, "Nothing failed.")
    yield from _section("Could not be judged", record.not_judged)
    yield from _not_played(record.not_played)


def _areas(record: Record) -> Iterator[str]:
    passed: dict[tuple[str, str], int] = defaultdict(int)
    played: dict[tuple[str, str], int] = defaultdict(int)
    for over, ids in record.passed.items():
        for id_ in ids:
            passed[_area(id_), over] += 1
            played[_area(id_), over] += 1
    for one in (*record.failed, *record.not_judged):
        played[_area(one.id), one.over] += 1
    areas = sorted({area for area, _over in played})
    rows = (
        (
            area,
            *(
                f"{passed[area, over]}/{played[area, over]}" if played[area, over] else ""
                for over in record.transports
            ),
        )
        for area in areas
    )
    transports = record.transports if record.subject.kind == "server" else ("passed",)
    yield from table(("area", *transports), rows)


def _area(id_: str) -> str:
    return id_.removeprefix("client/").partition("/")[0]


def _section(title: str, findings: Iterable[Finding], if_none: str = "") -> Iterator[str]:
    findings = tuple(findings)
    if not findings and not if_none:
        return
    yield f"## {title}"
    yield ""
    if not findings:
        yield if_none
        yield ""
        return
    for (id_, reason), same in _alike(findings).items():
        is_client = id_.startswith("client/")
        over = "" if is_client else f" over {' and '.join(one.over for one in same)}"
        title = prose(same[0].title).rstrip(".")
        yield f"- {code(id_)}{over}, {same[0].level}. {title}."
        yield f"  Seen: {code(reason)}"
    yield ""


def _alike(findings: Iterable[Finding]) -> Mapping[tuple[str, str], list[Finding]]:
    """Findings with the same id and reason, which differ in the transport only."""
    found: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for one in findings:
        found[one.id, one.reason].append(one)
    return found


def _not_played(ids: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    if not ids:
        return
    yield "## Not played"
    yield ""
    for over, left_out in ids.items():
        areas: dict[str, int] = defaultdict(int)
        for id_ in left_out:
            areas[_area(id_)] += 1
        counted = ", ".join(f"{area} {number}" for area, number in sorted(areas.items()))
        yield f"- {len(left_out)} cases over {over}: {counted}"
    yield ""
