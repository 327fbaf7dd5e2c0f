"""Finds the words of problem documents in the source code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import phoenix_compat

PACKAGE: Final = Path(phoenix_compat.__file__).parent
SOURCES: Final = ("server/http", "server/backends", "server/multiprocess", "protocol/page_guard.py")

_CALLS: Final = {"ProblemError", "Refusal", "_busy"}


def sources() -> Iterator[Path]:
    """The files that send problems."""
    for one in SOURCES:
        path = PACKAGE / one
        yield from [path] if path.is_file() else sorted(path.rglob("*.py"))


def words_of(path: Path) -> Iterator[tuple[str, int | None]]:
    """The words of problems in a file, with their statuses where these are beside them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in _CALLS:
            yield from _of_call([_constant(one) for one in node.args[:2]])
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "word":
            for one in ast.walk(node.value):
                if _is_word(value := _constant(one)):
                    yield value, None
        elif isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "_WORDS":
            for one in ast.walk(node):
                if isinstance(one, ast.Tuple) and _is_word(value := _constant(one.elts[0])):
                    yield value, None


def _of_call(arguments: list[Any]) -> Iterator[tuple[str, int | None]]:
    """The word is the first argument, or the second after a status."""
    status = arguments[0] if isinstance(arguments[0], int) else None
    for one in arguments:
        if _is_word(one):
            yield one, status
            return


def _constant(node: ast.AST) -> Any:
    return node.value if isinstance(node, ast.Constant) else None


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value.replace("-", "").isalpha() and value.islower()
