"""The pages of docs/who-speaks-phoenix are what the command makes from docs/reports."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.who_speaks.__main__ import main
from tests.conformance.who_speaks.markdown import code, plain, table
from tests.conformance.who_speaks.page import REPORTS, outdated, pages
from tests.conformance.who_speaks.record import KINDS, read_record, read_records

SUBJECT = (
    *("--name", "My_Server", "--version", "1.10", "--on", "Go 1.24", "--source", "its site"),
    *("--started-with", "my-server --port 4000", "--note", "It has no `presence`."),
)


def case(id_: str, outcome: str, transport: str = "websocket", **more: Any) -> dict[str, Any]:
    """A case of the JSON of `conformance run`."""
    return {
        "id": id_,
        "transport": transport,
        "level": "MUST",
        "title": f"Shows {id_}",
        "outcome": outcome,
        "reasons": [],
        **more,
    }


def server_report(*cases: dict[str, Any]) -> dict[str, Any]:
    """The JSON of `conformance run`."""
    return {
        "made_by": "phoenix-compat 0.0",
        "profile": "1.8.12",
        "began_at": "2026-12-01T01:02:03+00:00",
        "cases": list(cases),
    }


def scenario(id_: str, outcome: str, reason: str = "") -> dict[str, Any]:
    """A verdict of the JSON of `conformance report`."""
    return {"id": id_, "outcome": outcome, "level": "SHOULD", "wants": "Waits.", "reason": reason}


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """An empty docs/reports."""
    reports = tmp_path / "docs" / "reports"
    for kind in KINDS:
        (reports / f"{kind}s").mkdir(parents=True)
    shutil.copy(REPORTS / "not-run.json", reports)
    return reports


def written(path: Path, document: Any) -> str:
    """The path of a file with this JSON."""
    path.write_text(json.dumps(document))
    return str(path)


def test_the_pages_are_up_to_date() -> None:
    """After a change of docs/reports: `python -m tests.conformance.who_speaks page`."""
    assert outdated() == []


def test_every_recorded_report_is_complete() -> None:
    """Each record has cases, a date, and a command that started what was tested."""
    for kind in KINDS:
        for name, record in read_records(REPORTS / f"{kind}s"):
            assert record.subject.kind == kind, name
            assert record.subject.started_with, name
            assert record.counts[0] > 0, name
            assert record.date > "2026", name


def test_a_server_is_recorded(tmp_path: Path, reports: Path) -> None:
    """A row and its page have the verdicts, and what the report leaves out."""
    report = server_report(
        case("join/ok/v2", "passed"),
        case("join/ok/v2", "passed unexpectedly", "longpoll"),
        case("leave/ok", "failed", reasons=["step 2, got <b>|`x`\n twice"]),
        case("leave/ok", "failed as expected", "longpoll", reasons=["step 2, got <b>|`x` twice"]),
        case("end/late", "could not be judged", unjudged="the machine was busy"),
    )

    code_ = main(
        ["server", written(tmp_path / "r.json", report), *SUBJECT, "--file", "mine"],
        reports=reports,
    )
    found = pages(reports)

    assert code_ == 0
    record = read_record(reports / "servers" / "mine.json")
    assert record.counts[:3] == (2, 2, 1)
    assert record.counts[3] > 200
    assert record.date == "2026-12-01"
    assert (
        "| [My\\_Server 1.10](who-speaks-phoenix/mine.md) | Go 1.24 | 1.8.12 | websocket, longpoll "
        "| 2 | [2](who-speaks-phoenix/mine.md#failed), MUST 2 | "
    ) in found["who-speaks-phoenix.md"]
    row = found["who-speaks-phoenix/mine.md"]
    assert "- `leave/ok` over websocket and longpoll, MUST. Shows leave/ok." in row
    assert "Seen: `` step 2, got <b>|`x` twice ``" in row
    assert "Seen: `the machine was busy`" in row
    assert "| join | 1/1 | 1/1 |" in row
    assert "| leave | 0/1 | 0/1 |" in row
    assert "It has no `presence`." in row


def test_a_client_is_recorded(tmp_path: Path, reports: Path) -> None:
    """A scenario that its app cannot play is not judged."""
    report = {
        "lost_entries": 0,
        "verdicts": [
            scenario("client/push/late", "failed", "no reply"),
            scenario("client/join/ok", "passed"),
            scenario("client/presence/merged", "not seen", "its topic was not joined"),
        ],
    }

    main(
        ["client", written(tmp_path / "r.json", report), *SUBJECT, "--file", "mine"],
        reports=reports,
    )

    record = read_record(reports / "clients" / "mine.json")
    assert record.counts == (1, 1, 1, 0)
    assert record.failed[0].reason == "no reply"
    row = pages(reports)["who-speaks-phoenix/mine.md"]
    assert "| push | 0/1 |" in row
    assert "- `client/push/late`, SHOULD. Waits." in row


@pytest.mark.parametrize(
    ("kind", "report", "error"),
    [
        ("server", {}, "this is not a report of `conformance run --json`"),
        ("server", server_report(case("a", "odd")), "a: the outcome 'odd' is not known here"),
        ("client", {}, "this is not a report of `conformance report --json`"),
        ("client", {"verdicts": [], "lost_entries": 3}, "3 entries were lost"),
        ("client", {"verdicts": [scenario("a", "waiting")], "lost_entries": 0}, "with --final"),
    ],
)
def test_an_unusable_report_is_refused(
    tmp_path: Path,
    reports: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    kind: str,
    report: Any,
    error: str,
) -> None:
    """The error says what is wrong with it, and nothing is written."""
    exit_code = main(
        [kind, written(tmp_path / "r.json", report), *SUBJECT, "--file", "mine"], reports=reports
    )

    assert exit_code == 2
    assert error in capsys.readouterr().err
    assert list(reports.rglob("mine.json")) == []


def test_pages_are_written_and_removed(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`page` writes what changed, removes the page of a record that is gone, and then is done."""
    left_over = reports.parent / "who-speaks-phoenix" / "gone.md"
    left_over.parent.mkdir()
    left_over.write_text("old")

    main(["page"], reports=reports)
    first = capsys.readouterr().out.splitlines()
    main(["page"], reports=reports)

    assert first == ["who-speaks-phoenix.md", "who-speaks-phoenix/gone.md"]
    assert not left_over.exists()
    assert capsys.readouterr().out == "The pages are up to date.\n"


def test_rows_are_in_alphabetical_order(tmp_path: Path, reports: Path) -> None:
    """Names without regard to case, then versions by their numbers."""
    report = written(tmp_path / "r.json", server_report(case("join/ok/v2", "passed")))
    for number, (name, version) in enumerate(
        [("b", "1.10.0"), ("b", "1.9.0"), ("A", "2"), ("b", "1.9-dev"), ("b", "1.9.1")]
    ):
        subject = (*SUBJECT, "--name", name, "--version", version)
        main(["server", report, *subject, "--file", f"row-{number}"], reports=reports)

    titles = [record.subject.title for _, record in read_records(reports / "servers")]

    assert titles == ["A 2", "b 1.9-dev", "b 1.9.0", "b 1.9.1", "b 1.10.0"]


def test_texts_are_escaped() -> None:
    """What a server answered cannot become Markdown or HTML."""
    assert plain("a_b*c <any> [x]") == r"a\_b\*c \<any\> \[x\]"
    assert code("a ``b`` c") == "``` a ``b`` c ```"
    assert list(table(("a",), [("x|y",), (r"x\|y",)]))[2:] == [r"| x\|y |", r"| x\|y |"]
