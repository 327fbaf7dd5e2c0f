"""The reasons of mutants that no test can kill belong to code that is still there."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

from tests.mutation.explained import Explained, read_explained

ROOT: Final = Path(__file__).parents[3]


def test_the_code_of_each_reason_exists() -> None:
    """A reason whose code was changed is looked at again."""
    reasons = read_explained()

    outdated = [reason.names for reason in reasons if not _is_there(reason)]

    assert outdated == []


def test_each_mutant_is_explained_once() -> None:
    """A mutant has one reason, in a sentence."""
    reasons = read_explained()

    assert len({reason.names for reason in reasons}) == len(reasons)
    assert all(len(reason.why.split()) > 2 for reason in reasons)


def test_a_reason_has_the_names_of_its_mutant(tmp_path: Path) -> None:
    """The tables of the file are the module and the function."""
    file = tmp_path / "explained.toml"
    file.write_text(
        '[["a/b.py"."A.f"]]\noriginal = "x + 1"\nreplacement = "x - 1"\nwhy = "x is unused here"\n'
    )

    reasons = read_explained(file)

    assert reasons == [Explained("a/b.py", "A.f", "x + 1", "x - 1", "x is unused here")]


def _is_there(reason: Explained) -> bool:
    source = (ROOT / reason.path).read_text()
    found = _scope(ast.parse(source), reason.scope)
    if found is None:
        return False
    code = source if isinstance(found, ast.Module) else ast.get_source_segment(source, found) or ""
    return _words(reason.original) in _words(code)


def _scope(tree: ast.Module, scope: str) -> ast.AST | None:
    found: ast.AST | None = tree
    for name in scope.split(".") if scope else ():
        found = next(
            (
                node
                for node in ast.walk(found or tree)
                if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
                and node.name == name
            ),
            None,
        )
        if found is None:
            return None
    return found


def _words(code: str) -> str:
    """Code without its white space and comments."""
    lines = (
        line.partition("  #")[0] for line in code.splitlines() if not line.strip().startswith("#")
    )
    return "".join("".join(lines).split())
