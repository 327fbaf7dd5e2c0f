"""A server with one mistake fails exactly the cases that test for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

import pytest

from phoenix_compat.conformance.suite.cases import Case
from tests.conformance.mutants import MUTANTS, VARIANTS, Mutant
from tests.conformance.mutants.play import CASES, failures_of, played_by

NONE = "none"
_PROCESSES = 2

Failures = dict[str, Future[dict[str, str]]]
"""The failures of each selected mutant by name, and of the unchanged server."""


@pytest.fixture(scope="module")
def failures(request: pytest.FixtureRequest) -> Iterator[Failures]:
    """Of a sample of the cases."""
    with _playing(request, is_sample=True) as found:
        yield found


@pytest.fixture(scope="module")
def all_failures(request: pytest.FixtureRequest) -> Iterator[Failures]:
    """Of all cases."""
    with _playing(request, is_sample=False) as found:
        yield found


@contextmanager
def _playing(request: pytest.FixtureRequest, *, is_sample: bool) -> Iterator[Failures]:
    tests = {item.name.partition("[")[2] for item in request.session.items}
    changed = [*MUTANTS, *VARIANTS]
    names = [NONE, *(mutant.name for mutant in changed if f"{mutant.name}]" in tests)]
    with ProcessPoolExecutor(_PROCESSES, mp_context=get_context("spawn")) as processes:
        yield {
            name: processes.submit(failures_of, None if name == NONE else name, is_sample=is_sample)
            for name in names
        }


def test_the_unchanged_server_does_not_fail(failures: Failures) -> None:
    """At the speed of the mutants, the unchanged server passes every case."""
    assert failures[NONE].result() == {}


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_a_mistake_fails_the_cases_that_test_it(mutant: Mutant, failures: Failures) -> None:
    """The cases that test for the mistake fail, and none of a third of the others."""
    check(mutant, failures[mutant.name].result(), played_by(mutant, is_sample=True))


@pytest.mark.parametrize("variant", VARIANTS, ids=[variant.name for variant in VARIANTS])
def test_what_phoenix_leaves_open_fails_nothing(variant: Mutant, failures: Failures) -> None:
    """A server that does it the other way passes every case."""
    assert failures[variant.name].result() == {}


@pytest.mark.long
@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_a_mistake_fails_no_other_case(mutant: Mutant, all_failures: Failures) -> None:
    """The cases that test for the mistake fail, and no others."""
    check(mutant, all_failures[mutant.name].result(), played_by(mutant, is_sample=False))


def check(mutant: Mutant, failed: Mapping[str, str], played: Collection[Case]) -> None:
    """The mutant fails exactly the cases that test for its mistake, and was asked all of them."""
    named = {case.key for case in CASES if mutant.must_fail(case)}
    idle = {case.key for case in CASES if case.id.startswith("end/idle") and not mutant.waits}
    assert named, "the mutant has no cases"
    assert named - idle <= {case.key for case in played}
    assert len(played) > len(named) + 50, "too few others were played"
    assert set(failed) == named - idle, "\n".join(
        failed[key] for key in sorted(failed.keys() - named)
    )


def test_each_case_is_played_by_many_mutants_that_should_pass_it() -> None:
    """A case that fails for the mistakes of others is noticed in the sample, too."""
    plays = Counter(
        case.key
        for mutant in MUTANTS
        for case in played_by(mutant, is_sample=True)
        if not mutant.must_fail(case)
    )

    idle = {case.key for case in CASES if case.id.startswith("end/idle")}
    assert min(plays[case.key] for case in CASES if case.key not in idle) >= 5


def test_the_mutants_make_different_mistakes() -> None:
    """The names are unique, and the mutants cover more than forty of the listed mistakes."""
    names = [mutant.name for mutant in MUTANTS]

    assert len(set(names)) == len(names)
    assert len({number for mutant in MUTANTS for number in mutant.numbers}) > 40
