"""PostgreSQL's text of a statement, and how its parameters are passed.

A statement that has no text of its own here is written alike in both dialects, except for what
`_translated` changes. Each is compiled once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from phoenix_compat.tasks.store.database import Params
from phoenix_compat.tasks.store.postgres.texts import (
    lease_texts,
    list_texts,
    other_texts,
    queue_texts,
    task_texts,
)
from phoenix_compat.tasks.store.statements import outbox_queries, queries, upload_queries

_Texts = Mapping[str, str | tuple[str, ...]]

TEXTS: Final[_Texts] = {
    **task_texts.TEXTS,
    **list_texts.TEXTS,
    **queue_texts.TEXTS,
    **lease_texts.TEXTS,
    **other_texts.UPLOADS,
    **other_texts.WEBHOOKS,
    **other_texts.KEYS,
}
"""Statement -> its text, or several of which the last one gives the result."""

LOCKING: Final[_Texts] = {**task_texts.LOCKING, **other_texts.KEYS_LOCKING}
"""The same inside of transactions, where the rows that are read must not change until the end."""

SLOW: Final = frozenset(
    {
        queries.COUNT_BY_STATUS,
        queries.COUNT_ENDED_BEFORE,
        queries.ENDED_BEFORE,
        queries.SHARED_HASHES,
        upload_queries.UNUSED_UPLOADS,
        outbox_queries.SUM_DELIVERIES,
    }
)
"""Statements that take longer the more tasks there are."""

_CHANGES: Final = re.compile(r"\b(INSERT INTO|DELETE FROM|UPDATE (?!SKIP)\w)")
_INDEX_HINT: Final = re.compile(r"\bINDEXED BY \w+")
_IN_LIST: Final = re.compile(r"\b(NOT )?IN \(SELECT value FROM json_each\(:(\w+)\)\)")
_NUMBERS: Final = frozenset({"numbers", "running"})
# Not the second colon of a cast, and not what stands in quotes.
_PARAMETER: Final = re.compile(r"'(?:[^']|'')*'|\?|(?<![:\w]):([a-z_]\w*)(::\w+\[\])?")


class Step(NamedTuple):
    """A statement as PostgreSQL takes it.

    Attributes:
        sql: its text, with parameters $1, $2 …
        names: the names of the parameters, in this order; None if they have places only.
        lists: the places of parameters that are lists as JSON text, and get passed as arrays.
        is_query: whether it changes nothing.
    """

    sql: str
    names: tuple[str, ...] | None
    lists: tuple[int, ...] = ()
    is_query: bool = False

    def arguments(self, params: Params) -> list[Any]:
        """The arguments for the parameters of a statement."""
        if self.names is None:
            arguments = list(params)
        elif isinstance(params, Mapping):
            arguments = [params[name] for name in self.names]
        else:  # the step needs none of them
            return []
        for place in self.lists:
            arguments[place] = _array(arguments[place])
        for place, argument in enumerate(arguments):
            # PostgreSQL stores no such text, so a search for it finds nothing in either way.
            if type(argument) is str and "\0" in argument:
                arguments[place] = argument.replace("\0", "\ufffd")
        return arguments


def _array(text: Any) -> list[Any] | None:
    if text is None:
        return None
    values: list[Any] = json.loads(text)
    return [value for value in values if not isinstance(value, str) or _is_storable(value)]


def _is_storable(text: str) -> bool:
    return "\0" not in text and text.encode("utf-8", "replace").decode() == text


class Dialect:
    """The compiled statements."""

    __slots__ = ("_reads", "_writes")

    def __init__(self) -> None:
        self._reads: dict[str, Sequence[Step]] = {}
        self._writes: dict[str, Sequence[Step]] = {}

    def read(self, statement: str) -> Sequence[Step]:
        """A statement outside of a transaction."""
        return self._reads.get(statement) or self._compiled(statement, self._reads, TEXTS)

    def write(self, statement: str) -> Sequence[Step]:
        """A statement inside of a transaction."""
        texts = LOCKING if statement in LOCKING else TEXTS
        return self._writes.get(statement) or self._compiled(statement, self._writes, texts)

    def _compiled(
        self, statement: str, compiled: dict[str, Sequence[Step]], texts: _Texts
    ) -> Sequence[Step]:
        text = texts.get(statement, statement)
        steps = (text,) if isinstance(text, str) else text
        compiled[statement] = tuple(map(_step, steps))
        return compiled[statement]


def _step(text: str) -> Step:
    names: list[str] = []
    lists: list[int] = []
    unnamed = 0

    def number(found: re.Match[str]) -> str:
        nonlocal unnamed
        name, cast = found[1], found[2] or ""
        if found[0] == "?":
            unnamed += 1
            return f"${unnamed}"
        if name is None:
            return found[0]
        if name not in names:
            names.append(name)
        place = names.index(name)
        if cast and place not in lists:
            lists.append(place)
        return f"${place + 1}{cast}"

    sql = _PARAMETER.sub(number, _translated(text))
    is_query = _CHANGES.search(sql) is None
    return Step(sql.strip(), None if unnamed else tuple(names), tuple(lists), is_query)


def _translated(text: str) -> str:
    return _IN_LIST.sub(_in_array, _INDEX_HINT.sub("", text))


def _in_array(found: re.Match[str]) -> str:
    comparison = "<> ALL" if found[1] else "= ANY"
    kind = "bigint" if found[2] in _NUMBERS else "text"
    return f"{comparison} (:{found[2]}::{kind}[])"
