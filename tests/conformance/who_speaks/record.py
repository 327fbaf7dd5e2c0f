"""A recorded report: what docs/reports keeps of one run against one server or client.

The file is JSON with one case a line, so that a diff shows which verdicts changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

Kind = Literal["server", "client"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

FORMAT: Final = 1
"""Increased when the files have to be recorded anew."""

MAX_REASON_LENGTH: Final = 240
"""Characters of a reason that are kept; the rest is in the command's own report."""


class RecordError(Exception):
    """A report or a recorded file is not usable; the text says which, where and what to do."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A case that did not pass, or could not be judged.

    Attributes:
        over: the transport.
        title: what the case shows, in a sentence.
        reason: what was seen, in one line.
    """

    id: str
    over: str
    level: str
    title: str
    reason: str


@dataclass(frozen=True, slots=True)
class Subject:
    """What was tested, and how it was started.

    Attributes:
        name, version: as its authors call it, `Phoenix` and `1.8.12`.
        runs_on: what it ran on, with versions.
        source: where its sources or packages are.
        started_with: the command that started it.
        options: the options of `conformance run` besides the URL, or how the client's app was run.
        notes: sentences about what it lacks, or how it was set up.
    """

    kind: Kind
    name: str
    version: str
    runs_on: str
    source: str
    started_with: str
    options: str = ""
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Its name with its version."""
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the table.

    Attributes:
        made_by: the package that judged it, with its version.
        profile: the version of Phoenix that a server was compared with; empty for a client.
        date: of the run, as YYYY-MM-DD.
        passed: the ids for each transport.
        not_judged: cases whose result says nothing, with the reason.
        not_played: cases of the suite that were left out.
    """

    subject: Subject
    made_by: str
    profile: str
    date: str
    passed: Mapping[str, tuple[str, ...]]
    failed: tuple[Finding, ...] = ()
    not_judged: tuple[Finding, ...] = ()
    not_played: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def transports(self) -> tuple[str, ...]:
        """The transports over which at least one case was played."""
        played = {*self.passed, *(one.over for one in (*self.failed, *self.not_judged))}
        return tuple(sorted(played, reverse=True))  # websocket first

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """How many cases passed, failed, could not be judged, and were not played."""
        return (
            _size(self.passed),
            len(self.failed),
            len(self.not_judged),
            _size(self.not_played),
        )

    def to_json(self) -> str:
        """The text of its file."""
        subject = {key: value for key, value in asdict(self.subject).items() if value}
        rest = {
            "made_by": self.made_by,
            "profile": self.profile,
            "date": self.date,
            "passed": self.passed,
            "failed": [asdict(one) for one in self.failed],
            "not_judged": [asdict(one) for one in self.not_judged],
            "not_played": self.not_played,
        }
        document = {"format": FORMAT, **subject, **{k: v for k, v in rest.items() if v}}
        entries = (f" {json.dumps(key)}: {_lines(value)}" for key, value in document.items())
        return "{\n" + ",\n".join(entries) + "\n}\n"


def read_record(path: Path) -> Record:
    """Read a file of docs/reports.

    Raises:
        RecordError: it is not such a file.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["format"] != FORMAT:
            raise RecordError(
                f"{path.name}: format {raw['format']} is not {FORMAT}; record the run again"
            )
        return Record(
            subject=_subject(raw),
            made_by=raw["made_by"],
            profile=raw.get("profile", ""),
            date=raw["date"],
            passed=_ids(raw.get("passed", {})),
            failed=_findings(raw.get("failed", ())),
            not_judged=_findings(raw.get("not_judged", ())),
            not_played=_ids(raw.get("not_played", {})),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{path.name} is not a recorded report: {error!r}") from error


def read_records(folder: Path) -> list[tuple[str, Record]]:
    """Every record of a folder with its file's name, by name, version and what it runs on."""
    records = [(path.stem, read_record(path)) for path in folder.glob("*.json")]
    return sorted(records, key=lambda each: _order(each[1].subject))


def _lines(value: Any) -> str:
    """The value as JSON: a line for each id and for each finding."""
    match value:
        case dict():
            inner = ",\n  ".join(
                f"{json.dumps(key)}: {_lines(each)}" for key, each in value.items()
            )
            return f"{{\n  {inner}\n }}"
        case list() | tuple():
            inner = ",\n  ".join(json.dumps(each, ensure_ascii=False) for each in value)
            return f"[\n  {inner}\n ]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def _order(subject: Subject) -> tuple[str, list[tuple[int, str]], str]:
    """Alphabetical; numbers in a version by value."""
    numbers = [
        (int(part), "") if part.isdigit() else (-1, part)
        for part in subject.version.replace("-", ".").split(".")
    ]
    return subject.name.casefold(), numbers, subject.runs_on


def _subject(raw: Mapping[str, Any]) -> Subject:
    if raw["kind"] not in KINDS:
        raise RecordError(f"the kind {raw['kind']!r} is not one of {', '.join(KINDS)}")
    return Subject(
        kind=raw["kind"],
        name=raw["name"],
        version=raw["version"],
        runs_on=raw["runs_on"],
        source=raw["source"],
        started_with=raw["started_with"],
        options=raw.get("options", ""),
        notes=tuple(raw.get("notes", ())),
    )


def _ids(raw: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    return {over: tuple(ids) for over, ids in raw.items()}


def _findings(raw: Iterable[Mapping[str, str]]) -> tuple[Finding, ...]:
    return tuple(Finding(**each) for each in raw)


def _size(ids: Mapping[str, tuple[str, ...]]) -> int:
    return sum(map(len, ids.values()))
