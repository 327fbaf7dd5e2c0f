"""What is changed in the code: mutmut's changes, and statements and conditions, which it lacks.

Not changed is what no client can notice: annotations, docstrings, decorators, `__slots__`, log
lines (but they are removed as a whole), and texts for people: the strings with a space in them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final

import libcst as cst
from mutmut.mutation.mutators import mutation_operators, operator_string

_DECLARATIONS: Final = frozenset({"__all__", "__slots__", "log"})
_TYPES: Final = frozenset({"TypeAlias", "TypeVar", "ParamSpec"})
_LOGS: Final = frozenset({"log", "logger"})
_SHORTENED: Final = frozenset({"brief"})
"""Functions that shorten a value for a text for people."""
_CRASHING: Final = frozenset({"len", "isinstance", "issubclass"})
"""Without an argument they raise: such a mutant proves nothing."""
_GENERIC: Final = frozenset(
    {"list", "dict", "tuple", "set", "frozenset", "type", "Generic", "Callable", "deque"}
)


def changes_of(node: Any) -> Iterator[tuple[str, Any]]:
    """The changes of a node itself: the name of the operator, and the node that replaces it."""
    if _is_left_alone(node):
        return
    for kind, operator in mutation_operators:
        name = operator.__name__.removeprefix("operator_")
        if not isinstance(node, kind) or (name == "arg_removal" and _is_called(node, _CRASHING)):
            continue
        for index, replacement in enumerate(operator(node)):
            if operator is operator_string and index > 0:
                break  # who notices one change of a word notices the others
            if not _is_change_of_text(node, replacement):
                yield name, replacement
    yield from _changed_statement(node)
    yield from _changed_condition(node)


def children_of(node: Any) -> list[Any]:
    """The children of a node in which something may be changed."""
    return [] if _is_left_alone(node) or _is_for_people(node) else list(node.children)


def _is_left_alone(node: Any) -> bool:
    """Whether a node declares something, or is a text for people."""
    match node:
        case cst.Annotation() | cst.Decorator() | cst.Import() | cst.ImportFrom():
            return True
        case cst.Expr():
            return _is_string(node.value)  # a docstring
        case cst.Assign():
            return any(_is_named(target.target, _DECLARATIONS) for target in node.targets)
        case cst.AnnAssign():
            return node.value is None or _is_named(node.annotation.annotation, _TYPES)
        case cst.Del():
            return isinstance(node.target, cst.Name | cst.Tuple)  # of a parameter that is not used
        case cst.If():
            return _is_named(node.test, {"TYPE_CHECKING"})
        case cst.Subscript():
            return _is_named(node.value, _GENERIC)  # `list[Meta]` as a base class or in `cast`
        case _:
            return _is_text(node)


def _is_for_people(node: Any) -> bool:
    """A call that writes a log line or a part of a text: its arguments are not changed."""
    return isinstance(node, cst.Call) and (_is_log(node) or _is_called(node, _SHORTENED))


def _changed_statement(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, cst.Expr | cst.Raise | cst.Del | cst.Assert):
        yield "remove_statement", cst.Pass()
    elif isinstance(node, cst.Return) and node.value and not _is_named(node.value, {"None"}):
        yield "return_none", cst.Return(cst.Name("None"))


def _changed_condition(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, cst.If | cst.While | cst.CompIf):
        test = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        yield "negate_condition", node.with_changes(test=cst.UnaryOperation(cst.Not(), test))
    if isinstance(node, cst.CompIf):
        yield "drop_condition", node.with_changes(test=cst.Name("True"))


def _is_change_of_text(node: Any, replacement: Any) -> bool:
    """Whether a change concerns only a text for people, or an argument that is one."""
    if isinstance(node, cst.Call):
        if _is_for_people(node):
            return True
        gone = [arg for arg in node.args if not any(arg is other for other in replacement.args)]
        return bool(gone) and all(_is_text(arg.value) for arg in gone)
    return isinstance(node, cst.Assign | cst.AnnAssign) and _is_text(node.value)


def _is_text(node: Any) -> bool:
    """A string with a space in it is for people."""
    match node:
        case cst.SimpleString():
            return " " in node.raw_value
        case cst.FormattedString():
            return any(" " in getattr(part, "value", "") for part in _texts(node))
        case cst.ConcatenatedString():
            return _is_text(node.left) or _is_text(node.right)
        case _:
            return False


def _texts(node: Any) -> list[Any]:
    return [part for part in node.parts if isinstance(part, cst.FormattedStringText)]


def _is_string(node: Any) -> bool:
    return isinstance(node, cst.SimpleString | cst.ConcatenatedString)


def _is_log(node: Any) -> bool:
    return isinstance(node.func, cst.Attribute) and _is_named(node.func.value, _LOGS)


def _is_called(node: Any, names: Collection[str]) -> bool:
    return isinstance(node, cst.Call) and _is_named(node.func, names)


def _is_named(node: Any, names: Collection[str]) -> bool:
    if isinstance(node, cst.Attribute):
        node = node.attr
    return isinstance(node, cst.Name) and node.value in names
