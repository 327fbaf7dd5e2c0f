"""Targets, medians, the table: what the benchmarks say of their figures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.benchmarks.__main__ import chosen, main
from tests.benchmarks.loads.beats import summary
from tests.benchmarks.loads.http_load import Request, request, write_script
from tests.benchmarks.machine import ROOT
from tests.benchmarks.report import Outcome, json_line, table
from tests.benchmarks.rig import Rig
from tests.benchmarks.suite import run
from tests.benchmarks.work import BenchError, Measure, Sample, Target, Work
from tests.benchmarks.works.families import FAMILIES


def rig(tmp_path: Path, *, is_quick: bool = False) -> Rig:
    """A rig without tools."""
    return Rig(cast("Any", SimpleNamespace()), tmp_path, is_quick=is_quick)


def giving(*values: float) -> Measure:
    """A measurement that gives these figures, one a run."""
    given: Iterator[float] = iter(values)
    return lambda _rig: Sample(next(given), {"client_cpu_pct": 50.0})


def outcome(ours: list[float], ruler: list[float], target: Target | None = None) -> Outcome:
    work = Work(
        name="echo",
        unit="/s",
        ours=giving(),
        ruler=giving(),
        ruler_name="C server",
        target=target,
    )
    samples = {
        side: [Sample(value, {"client_cpu_pct": 40.0}) for value in values]
        for side, values in (("ours", ours), ("ruler", ruler))
        if values
    }
    return Outcome(work, samples)


def test_the_ratio_is_that_of_the_medians() -> None:
    """One slow run of either side moves nothing."""
    found = outcome([60.0, 6.0, 61.0], [100.0, 101.0, 1_000.0])

    assert (found.ours, found.ruler) == (60.0, 101.0)
    assert found.ratio == pytest.approx(60.0 / 101.0)


def test_without_a_ruler_there_is_no_ratio() -> None:
    """A figure that stands alone has none, and neither has one beside a ruler that shows 0."""
    assert outcome([1.0], []).ratio is None
    assert outcome([1.0], [0.0]).ratio is None


@pytest.mark.parametrize(
    ("target", "ours", "ruler", "is_met"),
    [
        (Target(min_ratio=0.6), 60.0, 100.0, True),
        (Target(min_ratio=0.6), 59.9, 100.0, False),
        (Target(max_ratio=1.1), 110.0, 100.0, True),
        (Target(max_ratio=1.1), 111.0, 100.0, False),
        (Target(max_value=3_000), 3_000.0, 79.0, True),
        (Target(max_value=3_000), 3_001.0, 79.0, False),
        (Target(min_ratio=0.5, max_value=10), 11.0, 1.0, False),
        (None, 1.0, 2.0, None),
    ],
)
def test_a_target_is_met_at_its_bound(
    target: Target | None, ours: float, ruler: float, is_met: bool | None
) -> None:
    """Bounds are inclusive, and every bound of a target must hold."""
    assert outcome([ours], [ruler], target).is_met is is_met


def test_a_ratio_that_is_not_known_meets_no_target() -> None:
    """A ruler that showed nothing proves nothing."""
    assert outcome([1.0], [0.0], Target(min_ratio=0.5)).is_met is False
    assert outcome([1.0], [0.0], Target(max_ratio=2.0)).is_met is False


def test_the_table_has_a_row_for_each_work() -> None:
    """Both medians, the ratio, the target, the verdict, and how busy the generator was."""
    text = table([outcome([12_345.0], [20_000.0], Target(min_ratio=0.9))])

    head, rule, row = text.splitlines()
    assert len(head) == len(rule) == len(row)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        *("echo", "12 345 /s", "C server", "20 000 /s", "0.617", "≥ 0.9", "NO", "40 % / 40 %")
    ]


def test_a_line_names_the_side_and_the_machine() -> None:
    """A run's line is JSON with the work, the side, the figure, and what all runs share."""
    work = outcome([1.0], [2.0]).work

    line = json_line(
        work, "ruler", 2, Sample(2.0, {"p99": 7}), {"seed": 5, "machine": {"cores": 2}}
    )

    assert json.loads(line) == {
        "work": "echo",
        "side": "C server",
        "round": 2,
        "value": 2.0,
        "unit": "/s",
        "seed": 5,
        "machine": {"cores": 2},
        "detail": {"p99": 7},
    }


def test_the_sides_take_turns(tmp_path: Path) -> None:
    """Each round measures every work once on both sides, and begins with the other side."""
    works = [
        Work(name=name, unit="/s", ours=giving(1, 2), ruler=giving(3, 4), ruler_name="ruler")
        for name in ("a", "b", "c")
    ]
    told: list[tuple[str, str, int]] = []

    outcomes = run(
        works,
        rig(tmp_path),
        2,
        lambda work, side, number, _: told.append((work.name, side, number)),
    )

    assert [one.work.name for one in outcomes] == ["a", "b", "c"]
    assert [(one.ours, one.ruler) for one in outcomes] == [(1.5, 3.5)] * 3
    assert [side for _, side, _ in told] == ["ours", "ruler"] * 3 + ["ruler", "ours"] * 3
    assert [number for *_, number in told] == [0] * 6 + [1] * 6


def test_quick_is_a_tenth(tmp_path: Path) -> None:
    """A quick rig shrinks counts and times, and never to nothing."""
    quick = rig(tmp_path, is_quick=True)

    assert (quick.count(1_000), quick.count(3), quick.seconds(3)) == (100, 1, 0.3)
    assert rig(tmp_path).count(1_000) == 1_000


def test_works_have_names_of_their_own() -> None:
    """Every work of every family can be chosen by its name."""
    names = [work.name for works in FAMILIES.values() for work in works]

    assert len(set(names)) == len(names)
    assert [work.name for work in chosen([], "")] == names


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_documented(family: str) -> None:
    """docs/performance.md has a row for each family."""
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")

    assert f"| `{family}` |" in text


def test_only_names_a_part(capsys: pytest.CaptureFixture[str]) -> None:
    """--only and the families choose; --list tells what was chosen and measures nothing."""
    main(["core", "--only", "heartbeats", "--list"])

    assert capsys.readouterr().out == "heartbeats, 100 connections\n"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nonsense"], "no such family: nonsense; there are: core"),
        (["core", "--rounds", "0"], "--rounds must be at least 1"),
    ],
)
def test_wrong_arguments_are_named(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong with the command line is said, with what there is."""
    with pytest.raises(SystemExit):
        main(arguments)

    assert reason in capsys.readouterr().err


def test_choosing_nothing_is_an_error() -> None:
    """A name that no work has measures nothing, and says so."""
    with pytest.raises(BenchError, match="no work has 'nonsense' in its name"):
        chosen(["core"], "nonsense")


def test_the_issue_has_its_targets() -> None:
    """The core works carry the bounds that were asked for."""
    targets = [str(work.target) for work in FAMILIES["core"]]

    ratios = ["≥ 0.72", "≥ 0.9", "≥ 0.85", "≥ 0.75", "≥ 0.6", "≥ 0.55", "≥ 0.25"]
    assert targets == [*ratios, "at most 3000"]


def test_waits_are_told_by_their_worst() -> None:
    """The 99th percentile of 1 … 1 000 ms is 990 ms."""
    waits = [float(wait) for wait in range(1_000, 0, -1)]

    assert summary(waits) == {"beats": 1_000, "p50": 500.0, "p99": 990.0, "max": 1_000.0}


def test_a_script_has_each_request_byte_for_byte(tmp_path: Path) -> None:
    """The generator of HTTP reads a line with status, length and text, then the request."""
    raw = request("POST", "/x", "é")

    write_script(tmp_path / "script", [[Request(raw, 202, "task_id")]])

    assert (tmp_path / "script").read_bytes() == (
        b"connection\nrequest 202 %d task_id\n" % len(raw)
        + b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        + "Content-Length: 2\r\n\r\né\n".encode()
    )
