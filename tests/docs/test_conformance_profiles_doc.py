"""docs/conformance-profiles.md shows profiles.json and clients.json, which explain the cases."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from phoenix_compat.conformance.suite.catalog import read_vectors
from phoenix_compat.conformance.trace.rules.wire_rules import SOCKET_NORMAL_CLOSE
from tests.docs.pages import page

DOCUMENT = page("conformance-profiles.md")
PROFILES = read_vectors("profiles.json")
(PHOENIX_JS,) = read_vectors("clients.json")["clients"]
CASES = [*read_vectors("catalog.json")["cases"], *read_vectors("written.json")["cases"]]


def rows(header: str) -> list[str]:
    """Return the rows of the table with this header."""
    body = DOCUMENT.partition(f"{header}\n")[2].splitlines()[1:]
    return body[: body.index("")] if "" in body else body


def applies_to(difference: dict[str, Any]) -> Iterator[str]:
    """Yield the profiles that differ, then those on a server."""
    yield from difference.get("profiles", ())
    yield from (f"every profile on {server}" for server in difference.get("servers", ()))


def depends_on_the_profile(case: dict[str, Any]) -> bool:
    """Whether the case is not played, or is answered otherwise, in some profile."""
    return "profiles" in case or "differences" in case


def explains(difference: dict[str, Any], case: dict[str, Any]) -> bool:
    """Whether the difference names the case."""
    return any(fnmatchcase(case["id"], pattern) for pattern in difference["cases"])


def test_the_page_lists_the_profiles() -> None:
    """Each row has the name, the version, the server, and how it was checked."""
    wanted = [
        f"| `{one['name']}` | {one['means']} | {one['server']} | {one['checked']['how']}, "
        f"{one['checked']['with']}, {one['checked']['on']} |"
        for one in PROFILES["profiles"]
    ]

    assert rows("| profile | Phoenix | HTTP server | checked |") == wanted


def test_the_page_lists_the_differences() -> None:
    """Each row has what differs, where, until which release, and the cases that show it."""
    wanted = [
        f"| {one['what']} | {', '.join(applies_to(one))} | {one.get('until', '')} | "
        f"{', '.join(f'`{pattern}`' for pattern in one['cases'])} |"
        for one in PROFILES["differences"]
    ]

    assert rows("| what differs from 1.8.12 on Bandit | in | until | cases |") == wanted


def test_every_case_that_depends_on_the_profile_is_explained() -> None:
    """What is not listed is as in 1.8.12, so nothing may be missing."""
    missing = [
        case["id"]
        for case in CASES
        if depends_on_the_profile(case)
        and not any(explains(difference, case) for difference in PROFILES["differences"])
    ]

    assert missing == []


def test_every_difference_is_shown_by_a_case() -> None:
    """Each pattern names a case that depends on the profile."""
    of_profiles = [case["id"] for case in CASES if depends_on_the_profile(case)]

    assert [
        pattern
        for difference in PROFILES["differences"]
        for pattern in difference["cases"]
        if not any(fnmatchcase(id_, pattern) for id_ in of_profiles)
    ] == []


def test_a_case_differs_only_where_a_difference_says_so() -> None:
    """The profiles of a case's differences are among those of the differences that name it."""
    unexplained = [
        (case["id"], where)
        for case in CASES
        for difference in case.get("differences", ())
        for where in applies_to(difference)
        if not any(
            where in applies_to(one) for one in PROFILES["differences"] if explains(one, case)
        )
    ]

    assert unexplained == []


def test_the_page_lists_the_changes_of_phoenix_js() -> None:
    """Each row has the release, what changed, and where."""
    wanted = [
        f"| {one['since']} | {one.get('until', '')} | {one['what']} | "
        f"{one['source'].removeprefix('assets/js/phoenix/')} |"
        for one in PHOENIX_JS["changes"]
    ]

    assert rows("| since | until | phoenix.js | source |") == wanted


def test_the_rule_about_1000_names_the_right_versions() -> None:
    """It names the first and the last release that stay away."""
    (change,) = [one for one in PHOENIX_JS["changes"] if "1000" in one["what"]]

    assert (change["since"], change["until"]) == ("1.6.3", "1.8.16")
    assert "phoenix.js 1.6.3 to 1.8.15 does not reconnect" in SOCKET_NORMAL_CLOSE.why
