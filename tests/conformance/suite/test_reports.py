"""All report formats show the same verdicts."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from phoenix_compat.conformance.report.badge import to_badge
from phoenix_compat.conformance.report.machine import to_json, to_junit
from phoenix_compat.conformance.report.page import to_page
from phoenix_compat.conformance.report.summary import Outcome, Report, judge
from phoenix_compat.conformance.report.terminal import show_list, show_report
from phoenix_compat.conformance.suite.cases import Case, SendText, Step
from phoenix_compat.conformance.suite.conversation import LogLine
from phoenix_compat.conformance.suite.expected import ExpectedFailures
from phoenix_compat.conformance.suite.runner import CaseResult, StepResult

WANTED = {"frames": {"a": [{"text": ["1", "<b>"]}]}}
GOT = {"frames": {"a": [{"text": ["2", "<b>"]}]}}


def result(id_: str, *, passed: bool) -> CaseResult:
    """The result of a case with one step, passed or failed."""
    action = SendText("a", '["?\x01"]')
    case = Case(id_, (Step(action, WANTED),), title="Says `what`", source="lib/x.ex")
    log = (LogLine(0.0, "a", "out", str(action)), LogLine(0.001, "a", "in", {"text": ["2", "<b>"]}))
    reason = () if passed else ('a: a frame differs: [0] is "2", wanted "1"',)
    step = StepResult(action, WANTED, WANTED if passed else GOT, reason)
    return CaseResult(case, (step,), None, log, 0.1)


@pytest.fixture
def report() -> Report:
    """A report with one case for each outcome."""
    results = [
        result("join/fine", passed=True),
        result("join/wrong", passed=False),
        result("leave/known", passed=False),
        result("leave/odd", passed=True),
    ]
    expected = ExpectedFailures(frozenset({"leave/known", "leave/odd websocket"}))
    began_at = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
    return Report("http://h:1", "1.7", began_at, 1.5, judge(results, expected))


def test_verdicts(report: Report) -> None:
    """An unexpected pass is as bad as a failure."""
    assert [verdict.outcome for verdict in report.verdicts] == [
        Outcome.PASSED,
        Outcome.FAILED,
        Outcome.EXPECTED_FAILURE,
        Outcome.UNEXPECTED_PASS,
    ]
    assert [verdict.outcome.is_good for verdict in report.verdicts] == [True, False, True, False]
    assert not report.is_good
    assert report.summary == (
        "2 of 4 passed (1 failed, 1 failed as expected, 1 passed unexpectedly), profile 1.7, 1.5 s"
    )


def test_the_command_that_reproduces(report: Report) -> None:
    """The command plays only this case, with its transport and profile."""
    assert report.reproduce(report.verdicts[1].case) == (
        "phoenix-compat conformance run http://h:1 --only join/wrong --transport websocket "
        "--profile 1.7"
    )


def test_json(report: Report) -> None:
    """The JSON has every case with its steps, frames and reasons."""
    document = json.loads(to_json(report))

    wrong = document["cases"][1]
    assert document["counts"]["failed"] == 1
    assert document["is_good"] is False
    assert document["time_factor"] == 1.0
    assert wrong["reasons"] == ['step 1, a: a frame differs: [0] is "2", wanted "1"']
    assert wrong["steps"][0] | {"action": ""} == {
        "action": "",
        "wanted": WANTED,
        "got": GOT,
        "is_right": False,
    }
    assert wrong["log"][1] == {
        "at_s": 0.001,
        "conn": "a",
        "way": "in",
        "shown": {"text": ["2", "<b>"]},
    }


def test_junit(report: Report) -> None:
    """The XML has two failures and one skipped test; control characters do not break it."""
    [suite] = ET.fromstring(to_junit(report))  # noqa: S314 - our own XML

    assert suite.attrib | {"time": ""} == {
        "name": "phoenix 1.7 over websocket",
        "timestamp": "2026-01-05T10:00:00+00:00",
        "tests": "4",
        "failures": "2",
        "skipped": "1",
        "time": "",
    }
    assert [[child.tag for child in test] for test in suite] == [
        [],
        ["failure"],
        ["skipped"],
        ["failure"],
    ]
    assert "--only join/wrong" in (suite[1][0].text or "")


class _Page(HTMLParser):
    """Collects what a page loads, its ids and its links."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag in {"script", "link", "img", "iframe"} or "src" in values:
            self.loads.append(tag)
        self.ids |= {values["id"]} if "id" in values else set()
        self.links |= {values["href"]} if "href" in values else set()


def test_the_page(report: Report) -> None:
    """The page loads no files, escapes text from servers, and links to the cases."""
    text = to_page(report)
    page = _Page()
    page.feed(text)

    assert page.loads == []
    assert "url(" not in text
    assert "@import" not in text
    assert {link.removeprefix("#") for link in page.links} <= page.ids
    assert "<b>&" not in text
    assert "[&quot;2&quot;,&quot;&lt;b&gt;&quot;]" in text
    assert "--only join/wrong" in text
    assert text.index('id="websocket-join-wrong"') < text.index('id="websocket-join-fine"')
    assert "Says <code>what</code>" in text


def test_the_badge(report: Report) -> None:
    """The badge is XML with the number of passed cases and a matching colour."""
    good = Report("", "1.8.12", report.began_at, 1.0, report.verdicts[:1])

    badges = {to_badge(one): one for one in (report, good)}

    fills = []
    for text, one in badges.items():
        svg = ET.fromstring(text)  # noqa: S314 - our own XML
        assert svg.attrib["aria-label"] == (
            f"phoenix {one.profile}: {one.passed}/{len(one.verdicts)} conformance"
        )
        fills += re.findall(r'fill="(#2f855a|#c53030)"', text)
    assert fills == ["#c53030", "#2f855a"]


def test_the_terminal(report: Report) -> None:
    """Each failure shows wanted and got, the reason, and the command to repeat it."""
    console = Console(width=110, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as captured:
        show_report(console, report)

    lines = captured.get().splitlines()
    [header] = [
        line for line in lines if "wanted" in line and line.split()[1:3] == ["wanted", "got"]
    ]
    row = lines[lines.index(header) + 2]
    assert re.search(r'a: \["1","<b>"\] +a: \["2","<b>"\]', row)
    assert any("--only join/wrong" in line for line in lines)
    assert any("leave/odd websocket passed" in line for line in lines)
    assert report.summary in lines


def test_the_terminal_tells_of_a_slow_run_in_one_line(report: Report) -> None:
    """The factor is printed if it was above 1, and is in the JSON."""
    console = Console(width=80)
    with console.capture() as captured:
        show_report(console, report)
        show_report(console, replace(report, time_factor=3.2))

    told = [line for line in captured.get().splitlines() if "slow" in line.lower()]
    assert told == ["Slow machine or server: time limits were up to 3.2 times as long."]
    assert json.loads(to_json(replace(report, time_factor=3.2)))["time_factor"] == 3.2


def test_the_list(report: Report) -> None:
    """Each id has one line with its level and transports."""
    console = Console(width=110)
    with console.capture() as captured:
        show_list(console, [verdict.case for verdict in report.verdicts])

    text = captured.get()
    assert re.search(r"join/fine +MUST +websocket +\(written\) Says `what`", text)
    assert "4 cases, 4 plays" in text


@pytest.fixture
def unjudged(report: Report) -> Report:
    """A report in which nothing failed, and one case could not be judged."""
    why = replace(result("join/late", passed=False), unjudged="the machine was <busy>", plays=4)
    alone = replace(result("join/alone", passed=True), plays=2)
    return replace(report, verdicts=judge([why, alone], ExpectedFailures()), timing="strict")


def test_a_run_that_could_not_be_judged_is_neither_good_nor_bad(unjudged: Report) -> None:
    """Also if the case is an expected failure."""
    known = judge([unjudged.verdicts[0].result], ExpectedFailures(frozenset({"join/late"})))

    assert (unjudged.is_good, unjudged.is_bad) == (False, False)
    assert unjudged.summary == ("1 of 2 passed (1 could not be judged), profile 1.7, 1.5 s")
    assert known[0].outcome is Outcome.UNJUDGED


def test_every_report_has_the_reason_of_what_could_not_be_judged(unjudged: Report) -> None:
    """CI must not accuse the server: in JUnit it is skipped, the badge is yellow."""
    document = json.loads(to_json(unjudged))
    [suite] = ET.fromstring(to_junit(unjudged))  # noqa: S314 - our own XML
    console = Console(width=110)
    with console.capture() as captured:
        show_report(console, unjudged)
    lines, page, badge = captured.get().splitlines(), to_page(unjudged), to_badge(unjudged)

    case = document["cases"][0]
    assert (document["is_good"], document["is_bad"], document["timing"]) == (False, False, "strict")
    assert (case["outcome"], case["unjudged"], case["plays"]) == (
        "could not be judged",
        "the machine was <busy>",
        4,
    )
    assert (suite.attrib["failures"], suite.attrib["skipped"]) == ("0", "1")
    assert suite[0][0].tag == "skipped"
    assert suite[0][0].attrib["message"] == "could not be judged: the machine was <busy>"
    assert "join/late websocket could not be judged: the machine was <busy>" in lines
    assert "Failed among others, and passed alone: join/alone websocket." in lines
    assert "Could not be judged: the machine was &lt;busy&gt;" in page
    assert 'class="open"' in page
    assert "1/2 conformance, 1 not judged" in badge
    assert "#b7791f" in badge
