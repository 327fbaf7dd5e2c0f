"""`python -m tests.conformance.who_speaks`: record a report, or write the pages."""

# ruff: noqa: T201 - the result is printed

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.conformance.who_speaks.page import REPORTS, write
from tests.conformance.who_speaks.reading import client_record, server_record
from tests.conformance.who_speaks.record import KINDS, RecordError, Subject


def main(arguments: Sequence[str] | None = None, *, reports: Path = REPORTS) -> int:
    """Run the command; returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "page":
            changed = write(reports.parent)
            print("\n".join(changed) or "The pages are up to date.")
            return 0
        path = _record(options, reports)
    except RecordError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    print(f"{path}\nNow run: python -m tests.conformance.who_speaks page")
    return 0


def _record(options: argparse.Namespace, reports: Path) -> Path:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", options.file):
        raise RecordError(
            f"--file {options.file!r}: write lower-case letters, digits, dots and hyphens, "
            "for example my-server-1.0"
        )
    subject = Subject(
        kind=options.command,
        name=options.name,
        version=options.version,
        runs_on=options.runs_on,
        source=options.source,
        started_with=options.started_with,
        options=options.options,
        notes=tuple(options.note),
    )
    report = _read(options.report)
    if options.command == "server":
        record = server_record(report, subject)
    else:
        record = client_record(report, subject, options.date)
    path = reports / f"{options.command}s" / f"{options.file}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(record.to_json(), encoding="utf-8")
    return path


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise RecordError(f"{path} is not JSON: {error}; write it with --json") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance.who_speaks",
        description="Make docs/who-speaks-phoenix.md from recorded reports.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("page", help="write the pages from docs/reports")
    for kind in KINDS:
        command = commands.add_parser(kind, help=f"record the report of a {kind}")
        command.add_argument("report", type=Path, help="the JSON report")
        command.add_argument("--name", required=True, help="as its authors call it")
        command.add_argument("--version", required=True)
        command.add_argument("--on", dest="runs_on", required=True, help="what it ran on")
        command.add_argument("--source", required=True, help="where its sources are")
        command.add_argument("--started-with", required=True, help="the command that started it")
        command.add_argument("--options", default="", help="of the run, or how the app was set up")
        command.add_argument("--note", action="append", default=[], help="a sentence; repeatable")
        command.add_argument("--file", required=True, help="name of the record, without .json")
        if kind == "client":
            today = datetime.now(UTC).date().isoformat()
            command.add_argument("--date", default=today, help="of the run  [today]")
    return parser


if __name__ == "__main__":
    sys.exit(main())
