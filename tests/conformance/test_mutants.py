"""A server with one mistake fails exactly the cases that test for it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tests.conformance.mutants import MUTANTS, Mutant
from tests.conformance.mutants.play import CASES, failures_of

NONE = "none"
_PROCESSES = 2


@pytest.fixture(scope="module")
def failures(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[dict[str, str]]]]:
    """The failures of each selected mutant by name, and of the unchanged server."""
    tests = {item.name.partition("[")[2] for item in request.session.items}
    selected = [mutant.name for mutant in MUTANTS if f"{mutant.name}]" in tests]
    with ProcessPoolExecutor(_PROCESSES, mp_context=get_context("spawn")) as processes:
        yield {
            NONE: processes.submit(failures_of, None),
            **{name: processes.submit(failures_of, name) for name in selected},
        }


def test_the_unchanged_server_does_not_fail(failures: dict[str, Future[dict[str, str]]]) -> None:
    """At the speed of the mutants, the unchanged server passes every case."""
    assert failures[NONE].result() == {}


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_a_mistake_fails_the_cases_that_test_it(
    mutant: Mutant, failures: dict[str, Future[dict[str, str]]]
) -> None:
    """The cases that test for the mistake fail, and no others."""
    failed = failures[mutant.name].result()

    named = {case.key for case in CASES if mutant.must_fail(case)}
    idle = {case.key for case in CASES if case.id.startswith("end/idle") and not mutant.waits}
    assert named, "the mutant has no cases"
    assert set(failed) == named - idle, "\n".join(
        failed[key] for key in sorted(failed.keys() - named)
    )


def test_the_mutants_make_different_mistakes() -> None:
    """The names are unique, and the mutants cover more than forty of the listed mistakes."""
    names = [mutant.name for mutant in MUTANTS]

    assert len(set(names)) == len(names)
    assert len({number for mutant in MUTANTS for number in mutant.numbers}) > 40
