"""Which changes are made: a sample of all changes of a folder, drawn with a seed."""

from __future__ import annotations

import ast
import difflib
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, islice, zip_longest
from pathlib import Path
from typing import Any

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from tests.mutation.mutators import changes_of, children_of


@dataclass(frozen=True)
class Mutant:
    """One change of one module.

    Attributes:
        path: the module's file, below the folder of the repository.
        scope: the function or class that is changed, as `Presence.list`; empty at module level.
        operator: the kind of change.
        original: the code that is replaced; with `replacement` and `scope` it names the mutant.
        replacement: the code instead of it.
        ordinal: counts the same changes of a scope, from 0.
        first_line: the first line of the code that is replaced, from 1.
        last_line: its last line.
        code: the whole module with the change.
    """

    path: Path
    scope: str
    operator: str
    original: str
    replacement: str
    ordinal: int
    first_line: int
    last_line: int
    code: str

    @property
    def module(self) -> str:
        """The name under which the module is imported."""
        return ".".join(self.path.with_suffix("").parts).removesuffix(".__init__")

    @property
    def key(self) -> str:
        """Names this change as long as its function has the code that it changes."""
        return _digest(*_identity(self))[:12]

    def diff(self, before: str) -> str:
        """What the change is, as a diff without context."""
        lines = difflib.unified_diff(before.splitlines(), self.code.splitlines(), n=0, lineterm="")
        return "\n".join(line for line in list(lines)[2:])


def draw(root: Path, folder: Path, seed: int, size: int) -> list[Mutant]:
    """Draw mutants of all modules of a folder; all of them if there are fewer.

    The operators take turns until none of their changes is left, because half of all changes are
    arguments that are left out, which most tests notice. The rank of a change among those of its
    operator depends on the seed and on itself only, so that most of a sample stays when some of the
    code changes.

    Args:
        root: the folder of the repository.
        folder: the folder in it, as `phoenix_compat/protocol`.
    """
    by_operator: dict[str, list[_Draft]] = {}
    for draft in _all_drafts(root, folder):
        by_operator.setdefault(draft.operator, []).append(draft)
    for drafts in by_operator.values():
        drafts.sort(key=lambda draft: _digest(str(seed), *_identity(draft)))
    turns = zip_longest(*(by_operator[operator] for operator in sorted(by_operator)))
    mutants = (draft.apply() for turn in turns for draft in turn if draft is not None)
    return list(islice((mutant for mutant in mutants if mutant is not None), size))


def population(root: Path, folder: Path) -> int:
    """How many changes of a folder there are."""
    return sum(1 for _ in _all_drafts(root, folder))


def _all_drafts(root: Path, folder: Path) -> Iterator[_Draft]:
    for path in sorted((root / folder).rglob("*.py")):
        yield from _drafts(path.relative_to(root), path.read_text())


class _Source:
    """The code of a module, in which a part can be replaced."""

    def __init__(self, code: str) -> None:
        self._code = code
        self._starts = [0, *accumulate(len(line) for line in code.splitlines(keepends=True))]
        self.compiled = _compiled(code)

    def replaced(self, span: Any, code: str) -> str:
        """The whole code with other code between two positions of libcst."""
        start, end = (
            self._starts[place.line - 1] + place.column for place in (span.start, span.end)
        )
        return self._code[:start] + code + self._code[end:]


def _compiled(code: str) -> bytes:
    """What Python makes of it, without the places in the file. Raises SyntaxError."""
    tree = ast.parse(code)
    compile(tree, "", "exec", dont_inherit=True)
    return ast.dump(tree).encode()


@dataclass(frozen=True)
class _Draft:
    """A change that has not been made yet."""

    path: Path
    scope: str
    operator: str
    original: str
    replacement: str
    ordinal: int
    first_line: int
    last_line: int
    source: _Source
    span: Any
    module: Any
    old: Any
    new: Any

    def apply(self) -> Mutant | None:
        """The mutant; None if it is not valid Python, or the same code."""
        if isinstance(self.old, cst.If | cst.While | cst.Match):
            code = self.module.deep_replace(self.old, self.new).code  # keeps the body's indentation
        else:
            code = self.source.replaced(self.span, self.module.code_for_node(self.new))
        try:
            compiled = _compiled(code)
        except SyntaxError:
            return None
        if compiled == self.source.compiled:
            return None
        return Mutant(
            self.path,
            self.scope,
            self.operator,
            self.original,
            self.replacement,
            self.ordinal,
            self.first_line,
            self.last_line,
            code,
        )


def _drafts(path: Path, code: str) -> Iterator[_Draft]:
    wrapper = MetadataWrapper(cst.parse_module(code))
    module, positions = wrapper.module, wrapper.resolve(PositionProvider)
    source = _Source(code)
    seen: Counter[tuple[str, ...]] = Counter()
    for scope, node in _nodes(module, ""):
        for operator, new in changes_of(node):
            original, replacement = _names(module, node, new)
            same = (scope, operator, original, replacement)
            position = positions[node]
            yield _Draft(
                path,
                scope,
                operator,
                original,
                replacement,
                seen[same],
                position.start.line,
                position.end.line,
                source,
                position,
                module,
                node,
                new,
            )
            seen[same] += 1


def _nodes(node: Any, scope: str) -> Iterator[tuple[str, Any]]:
    """All nodes that may be changed, each with its function or class."""
    yield scope, node
    if isinstance(node, cst.FunctionDef | cst.ClassDef):
        scope = f"{scope}.{node.name.value}".removeprefix(".")
    for child in children_of(node):
        yield from _nodes(child, scope)


def _names(module: Any, node: Any, new: Any) -> tuple[str, str]:
    """The code before and after a change; of a case that is left out, the case."""
    if isinstance(node, cst.Match):
        [gone] = [case for case in node.cases if not any(case is other for other in new.cases)]
        return _brief(module.code_for_node(gone)), "(left out)"
    return _brief(module.code_for_node(node)), _brief(module.code_for_node(new))


def _brief(code: str) -> str:
    """Code on one line; of a statement with a body, only what stands before the body."""
    kept = []
    lines = [line.partition("  # ")[0].strip() for line in code.strip().splitlines()]
    for line in lines:
        if not line or line.startswith("#"):
            continue
        kept.append(line)
        if line.endswith(":"):
            break
    return " ".join(kept)


def _identity(mutant: Mutant | _Draft) -> tuple[str, ...]:
    return (
        str(mutant.path),
        mutant.scope,
        mutant.operator,
        mutant.original,
        mutant.replacement,
        str(mutant.ordinal),
    )


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
