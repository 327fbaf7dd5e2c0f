"""How statements in SQLite's dialect become those of PostgreSQL."""

from __future__ import annotations

import pytest

from phoenix_compat.tasks.store.postgres.dialect import LOCKING, TEXTS, Dialect
from phoenix_compat.tasks.store.statements import key_queries, queries


@pytest.mark.parametrize(
    ("statement", "text", "names"),
    [
        ("SELECT ? WHERE a = ?", "SELECT $1 WHERE a = $2", None),
        ("SELECT :b, :a, :b", "SELECT $1, $2, $1", ("b", "a")),
        ("SELECT :a::text, b::json", "SELECT $1::text, b::json", ("a",)),
        ("SELECT ':a ?', 'it''s :b', :c", "SELECT ':a ?', 'it''s :b', $1", ("c",)),
        ("SELECT a FROM t INDEXED BY t_by_a WHERE a = 1", "SELECT a FROM t  WHERE a = 1", ()),
    ],
)
def test_parameters_are_numbered(statement: str, text: str, names: tuple[str, ...] | None) -> None:
    """Each name has one number; casts and quoted texts are no parameters."""
    [step] = Dialect().read(statement)

    assert (step.sql, step.names) == (text, names)


@pytest.mark.parametrize(
    ("condition", "expected", "given", "passed"),
    [
        ("a IN", "a = ANY ($1::text[])", '["x", "y"]', ["x", "y"]),
        ("a NOT IN", "a <> ALL ($1::text[])", "[]", []),
        ("a IN", "a = ANY ($1::text[])", r'["\u0000", "\ud800", "x"]', ["x"]),
        ("a IN", "a = ANY ($1::text[])", None, None),
    ],
)
def test_lists_are_passed_as_arrays(
    condition: str, expected: str, given: str | None, passed: list[str] | None
) -> None:
    """What PostgreSQL cannot store is not in the list, since no row can have it."""
    [step] = Dialect().read(f"SELECT {condition} (SELECT value FROM json_each(:things))")  # noqa: S608 - our own text

    assert step.sql == f"SELECT {expected}"
    assert step.arguments({"things": given}) == [passed]


def test_lists_of_numbers_have_numbers() -> None:
    """They are known by their names."""
    [step] = Dialect().read("SELECT a IN (SELECT value FROM json_each(:numbers))")

    assert step.sql == "SELECT a = ANY ($1::bigint[])"
    assert step.arguments({"numbers": "[1, 2]"}) == [[1, 2]]


def test_a_text_with_nul_becomes_one_that_can_be_sent() -> None:
    """It is found as little."""
    [step] = Dialect().read("SELECT ?")

    assert step.arguments(("a\0b",)) == ["a\ufffdb"]


def test_a_transaction_locks_what_it_reads_to_decide() -> None:
    """The same statement outside of a transaction locks nothing."""
    dialect = Dialect()

    assert "FOR NO KEY UPDATE" in dialect.write(queries.GET_TASK.all)[-1].sql
    assert "FOR NO KEY UPDATE" not in dialect.read(queries.GET_TASK.all)[-1].sql
    assert [step.sql.split()[0] for step in dialect.write(key_queries.FIND_KEY)] == [
        "LOCK",
        "SELECT",
    ]
    assert dialect.write(key_queries.FIND_KEY)[0].arguments(("phone",)) == []


def test_what_changes_rows_is_known() -> None:
    """A write that has changed nothing need not be rolled back when it fails."""
    dialect = Dialect()

    assert dialect.write(queries.GET_TASK.all)[-1].is_query
    assert not dialect.write(queries.MOVE_TASK)[-1].is_query
    assert not dialect.write(queries.ADD_TASK)[-1].is_query
    assert not dialect.write(queries.DELETE_TASKS)[-1].is_query


def test_the_statements_of_sqlite_stay_as_they_are() -> None:
    """A text is PostgreSQL's own; its name is SQLite's."""
    assert all(name != text for name, text in (*TEXTS.items(), *LOCKING.items()))
