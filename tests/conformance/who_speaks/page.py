"""Writes docs/who-speaks-phoenix.md: the tables, from the records and the text of page.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Final

from tests.conformance.who_speaks.markdown import plain, prose, table
from tests.conformance.who_speaks.record import Finding, Record, read_records
from tests.conformance.who_speaks.row_page import GENERATED, commands, row_page

DOCS: Final = Path(__file__).parents[3] / "docs"
REPORTS: Final = DOCS / "reports"
PAGE: Final = "who-speaks-phoenix.md"
ROWS: Final = "who-speaks-phoenix"
_TEXT: Final = Path(__file__).with_name("page.md")

Rows = Sequence[tuple[str, Record]]


def pages(reports: Path = REPORTS) -> Mapping[str, str]:
    """Each generated page, by its path below docs/."""
    servers, clients = (read_records(reports / kind) for kind in ("servers", "clients"))
    rows = {f"{ROWS}/{name}.md": row_page(record) for name, record in (*servers, *clients)}
    text = Template(_TEXT.read_text(encoding="utf-8")).substitute(
        generated=GENERATED,
        servers="\n".join(_servers(servers)),
        server_commands="\n".join(_commands(servers)),
        clients="\n".join(_clients(clients)),
        client_commands="\n".join(_commands(clients)),
        not_run="\n".join(_not_run(reports / "not-run.json")),
        rows="\n".join(f"{ROWS}/{name}" for name, _record in (*servers, *clients)),
    )
    return {PAGE: text, **rows}


def outdated(docs: Path = DOCS) -> list[str]:
    """The pages of docs/ that are missing, differ from what would be written, or are left over."""
    wanted = pages(docs / "reports")
    differ = [
        name
        for name, text in wanted.items()
        if not (docs / name).exists() or (docs / name).read_text(encoding="utf-8") != text
    ]
    return sorted([*differ, *_left_over(docs, wanted)])


def write(docs: Path = DOCS) -> list[str]:
    """Write what is outdated, remove what is left over, and return their paths below docs/."""
    wanted, changed = pages(docs / "reports"), outdated(docs)
    (docs / ROWS).mkdir(exist_ok=True)
    for name in changed:
        if name in wanted:
            (docs / name).write_text(wanted[name], encoding="utf-8")
        else:
            (docs / name).unlink()
    return changed


def _left_over(docs: Path, wanted: Mapping[str, str]) -> list[str]:
    found = (path.relative_to(docs).as_posix() for path in (docs / ROWS).glob("*.md"))
    return [name for name in found if name not in wanted]


def _servers(rows: Rows) -> Iterator[str]:
    header = ("server", "on", "profile", "over", "passed", "failed", "not judged", "not played")
    return table(
        (*header, "date"),
        (
            (
                _link(name, record),
                plain(record.subject.runs_on),
                record.profile,
                ", ".join(record.transports),
                *_counts(name, record),
                record.date,
            )
            for name, record in rows
        ),
    )


def _clients(rows: Rows) -> Iterator[str]:
    return table(
        ("client", "on", "passed", "failed", "not judged", "date"),
        (
            (
                _link(name, record),
                plain(record.subject.runs_on),
                *_counts(name, record)[:3],
                record.date,
            )
            for name, record in rows
        ),
    )


def _link(name: str, record: Record, anchor: str = "") -> str:
    return f"[{plain(record.subject.title)}]({ROWS}/{name}.md{anchor})"


def _counts(name: str, record: Record) -> tuple[str, str, str, str]:
    passed, failed, not_judged, not_played = record.counts
    return (
        str(passed),
        f"[{failed}]({ROWS}/{name}.md#failed){_musts(record.failed)}" if failed else "0",
        f"[{not_judged}]({ROWS}/{name}.md#could-not-be-judged)" if not_judged else "0",
        f"[{not_played}]({ROWS}/{name}.md#not-played)" if not_played else "0",
    )


def _musts(failed: Iterable[Finding]) -> str:
    musts = sum(one.level == "MUST" for one in failed)
    return f", MUST {musts}" if musts else ""


def _commands(rows: Rows) -> Iterator[str]:
    for name, record in rows:
        told = "; ".join(f"{purpose} {command}" for purpose, command in commands(record))
        yield f"- {_link(name, record)} on {plain(record.subject.runs_on)}: {told}"


def _not_run(path: Path) -> Iterator[str]:
    seen = json.loads(path.read_text(encoding="utf-8"))
    rows = (
        (plain(one["name"]), plain(one["language"]), prose(one["what"]), prose(one["why"]))
        for one in sorted(seen, key=lambda one: one["name"].casefold())
    )
    return table(("project", "language", "what it is", "why it has no row"), rows)
