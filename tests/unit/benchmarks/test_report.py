"""Targets, medians, the table and the command line of the benchmarks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.benchmarks.__main__ import chosen, main
from tests.benchmarks.benchmark import Benchmark, BenchmarkError, Measure, Sample, Target
from tests.benchmarks.cases.families import DEFAULT, FAMILIES
from tests.benchmarks.context import BenchmarkContext
from tests.benchmarks.loads.heartbeats import summary
from tests.benchmarks.loads.http_load import Request, request, write_script
from tests.benchmarks.machine import ROOT
from tests.benchmarks.report import Outcome, json_line, table
from tests.benchmarks.suite import run


def context(tmp_path: Path, *, is_quick: bool = False) -> BenchmarkContext:
    """A context without load generators."""
    return BenchmarkContext(cast("Any", SimpleNamespace()), tmp_path, is_quick=is_quick)


def giving(*values: float) -> Measure:
    """A measurement that returns these values, one per run."""
    given: Iterator[float] = iter(values)
    return lambda _context: Sample(next(given), {"client_cpu_pct": 50.0})


def outcome(ours: list[float], baseline: list[float], target: Target | None = None) -> Outcome:
    benchmark = Benchmark(
        name="echo",
        unit="/s",
        ours=giving(),
        baseline=giving(),
        baseline_name="C server",
        target=target,
    )
    samples = {
        side: [Sample(value, {"client_cpu_pct": 40.0}) for value in values]
        for side, values in (("ours", ours), ("baseline", baseline))
        if values
    }
    return Outcome(benchmark, samples)


def test_the_ratio_is_that_of_the_medians() -> None:
    """One slow run of either side does not change the ratio."""
    found = outcome([60.0, 6.0, 61.0], [100.0, 101.0, 1_000.0])

    assert (found.ours, found.baseline) == (60.0, 101.0)
    assert found.ratio == pytest.approx(60.0 / 101.0)


def test_without_a_ruler_there_is_no_ratio() -> None:
    """The ratio is None without a baseline, and when the baseline is 0."""
    assert outcome([1.0], []).ratio is None
    assert outcome([1.0], [0.0]).ratio is None


@pytest.mark.parametrize(
    ("target", "ours", "baseline", "is_met"),
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
    target: Target | None, ours: float, baseline: float, is_met: bool | None
) -> None:
    """Bounds are inclusive, and all bounds of a target must be met."""
    assert outcome([ours], [baseline], target).is_met is is_met


def test_an_unknown_ratio_meets_no_target() -> None:
    """When the baseline is 0, no ratio target is met."""
    assert outcome([1.0], [0.0], Target(min_ratio=0.5)).is_met is False
    assert outcome([1.0], [0.0], Target(max_ratio=2.0)).is_met is False


def test_the_table_has_a_row_for_each_benchmark() -> None:
    """A row has both medians, the ratio, the target, whether it is met, and the load CPU."""
    text = table([outcome([12_345.0], [20_000.0], Target(min_ratio=0.9))])

    head, rule, row = text.splitlines()
    assert len(head) == len(rule) == len(row)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        *("echo", "12 345 /s", "C server", "20 000 /s", "0.617", "≥ 0.9", "NO", "40 % / 40 %")
    ]


def test_a_line_names_the_side_and_the_machine() -> None:
    """The line of a run is JSON with the benchmark, the side, the value and the common keys."""
    benchmark = outcome([1.0], [2.0]).benchmark

    line = json_line(
        benchmark, "baseline", 2, Sample(2.0, {"p99": 7}), {"seed": 5, "machine": {"cores": 2}}
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
    """Each round runs both sides of every benchmark, and the side that runs first alternates."""
    benchmarks = [
        Benchmark(
            name=name, unit="/s", ours=giving(1, 2), baseline=giving(3, 4), baseline_name="baseline"
        )
        for name in ("a", "b", "c")
    ]
    reported: list[tuple[str, str, int]] = []

    outcomes = run(
        benchmarks,
        context(tmp_path),
        2,
        lambda benchmark, side, number, _: reported.append((benchmark.name, side, number)),
    )

    assert [one.benchmark.name for one in outcomes] == ["a", "b", "c"]
    assert [(one.ours, one.baseline) for one in outcomes] == [(1.5, 3.5)] * 3
    assert [side for _, side, _ in reported] == ["ours", "baseline"] * 3 + ["baseline", "ours"] * 3
    assert [number for *_, number in reported] == [0] * 6 + [1] * 6


def test_quick_is_a_tenth(tmp_path: Path) -> None:
    """A quick run uses a tenth of counts and times, and at least 1."""
    quick = context(tmp_path, is_quick=True)

    assert (quick.count(1_000), quick.count(3), quick.seconds(3)) == (100, 1, 0.3)
    assert context(tmp_path).count(1_000) == 1_000


def test_benchmark_names_are_unique() -> None:
    """Every benchmark can be selected by its name."""
    names = [benchmark.name for benchmarks in FAMILIES.values() for benchmark in benchmarks]

    assert len(set(names)) == len(names)
    assert [benchmark.name for benchmark in chosen(list(FAMILIES), "")] == names
    assert "nodes" not in DEFAULT
    assert set(chosen([], "")) < set(chosen(list(FAMILIES), ""))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_documented(family: str) -> None:
    """docs/performance.md has a row for each family."""
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")

    assert f"| `{family}` |" in text


def test_only_selects_by_part_of_the_name(capsys: pytest.CaptureFixture[str]) -> None:
    """`--only` and the families select benchmarks; `--list` prints their names."""
    main(["core", "--only", "heartbeats", "--list"])

    assert capsys.readouterr().out == "heartbeats, 100 connections\n"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nonsense"], "unknown family: nonsense; known: core"),
        (["core", "--rounds", "0"], "--rounds must be at least 1"),
    ],
)
def test_wrong_arguments_are_named(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the wrong argument and the valid ones."""
    with pytest.raises(SystemExit):
        main(arguments)

    assert reason in capsys.readouterr().err


def test_selecting_no_benchmark_is_an_error() -> None:
    """An unknown name is an error."""
    with pytest.raises(BenchmarkError, match="no benchmark has 'nonsense' in its name"):
        chosen(["core"], "nonsense")


def test_the_core_benchmarks_have_targets() -> None:
    """The targets of the core family do not change by accident."""
    targets = [str(benchmark.target) for benchmark in FAMILIES["core"]]

    ratios = ["≥ 0.72", "≥ 0.9", "≥ 0.85", "≥ 0.75", "≥ 0.6", "≥ 0.55", "≥ 0.25"]
    assert targets == [*ratios, "at most 3000"]


def test_waits_are_summarized_by_percentiles() -> None:
    """The 99th percentile of 1 … 1 000 ms is 990 ms."""
    waits = [float(wait) for wait in range(1_000, 0, -1)]

    assert summary(waits) == {"beats": 1_000, "p50": 500.0, "p99": 990.0, "max": 1_000.0}


def test_a_script_has_the_bytes_of_each_request(tmp_path: Path) -> None:
    """The HTTP load generator reads a line with status, length and text, then the request."""
    raw = request("POST", "/x", "é")

    write_script(tmp_path / "script", [[Request(raw, 202, "task_id")]])

    assert (tmp_path / "script").read_bytes() == (
        b"connection\nrequest 202 %d task_id\n" % len(raw)
        + b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        + "Content-Length: 2\r\n\r\né\n".encode()
    )


def test_another_checkout_is_the_baseline(tmp_path: Path) -> None:
    """Its server is measured: without the features that it may not have, if there are such."""
    other = tmp_path / "before"
    seen: list[tuple[str, Path | None]] = []

    def noting(name: str) -> Measure:
        def measure(context: BenchmarkContext) -> Sample:
            seen.append((name, context.checkout))
            return Sample(1.0)

        return measure

    limit = Target(max_ratio=1.15)
    new = Benchmark(name="a", unit="µs", ours=noting("keys"), before=noting("none"), target=limit)
    same = Benchmark(name="b", unit="µs", ours=noting("echo"), target=Target(min_ratio=0.6))

    compared = [one.against(other) for one in (new, same)]
    outcomes = run(compared, context(tmp_path), 1, lambda *_: None)

    assert {("keys", None), ("none", other), ("echo", None), ("echo", other)} == set(seen)
    assert [one.benchmark.target for one in outcomes] == [limit, None]
    assert {one.benchmark.baseline_name for one in outcomes} == {"before"}


def test_a_checkout_needs_its_packages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error says what to do."""
    with pytest.raises(SystemExit):
        main(["safety", "--against", str(tmp_path)])

    assert "run `make run` there" in capsys.readouterr().err
