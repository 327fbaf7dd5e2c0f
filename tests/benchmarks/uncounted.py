"""Runs our server without the counters of messages: `python -m tests.benchmarks.uncounted ARGS`.

The arguments are those of `phoenix-compat`. The statements that count frames and bytes are left out
when the modules on the way of a message are compiled; everything else is the same code. Whatever
the counters cost is the difference between the two servers.
"""

from __future__ import annotations

import ast
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec, module_from_spec
from types import CodeType
from typing import Any, Final

MODULES: Final = (
    "phoenix_compat.runtime.sending.topic_fanout",
    "phoenix_compat.runtime.sending.outbox",
    "phoenix_compat.runtime.socket_server",
)
"""Those that count messages, in the order in which they import each other."""
COUNTERS: Final = frozenset({"frames_received", "bytes_received", "frames_sent", "bytes_sent"})


class _Uncounted(ast.NodeTransformer):
    """Leaves out the statements that count.

    Attributes:
        left_out: how many there were.
    """

    def __init__(self) -> None:
        self.left_out = 0

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt | None:
        """`wire.frames_sent += 1`."""
        if isinstance(node.target, ast.Attribute) and node.target.attr in COUNTERS:
            self.left_out += 1
            return None
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.stmt | None:
        """`self._count(…)`, which counts a broadcast."""
        call = node.value
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "self._count":
            self.left_out += 1
            return None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:
        """A function that only counted stays, empty."""
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node


class _Loader(SourceFileLoader):
    """Compiles a module without its counters."""

    left_out = 0

    def get_code(self, fullname: str) -> CodeType:
        """The code; compiled anew, because a cached one has the counters."""
        source = self.get_data(self.path)
        return self.source_to_code(source, self.path)

    def source_to_code(  # type: ignore[override] # typeshed has the static method of another class
        self, data: Any, path: Any, *, _optimize: int = -1
    ) -> CodeType:
        """Compile the source without the statements that count."""
        uncounted = _Uncounted()
        tree = ast.fix_missing_locations(uncounted.visit(ast.parse(data)))
        _Loader.left_out += uncounted.left_out
        return compile(tree, path, "exec", dont_inherit=True, optimize=_optimize)


def leave_out_counters() -> int:
    """Import the modules without their counters; returns how many statements were left out."""
    for name in MODULES:
        if name in sys.modules:
            raise RuntimeError(f"{name} was imported before")
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise RuntimeError(f"there is no {name}")
        spec.loader = _Loader(name, spec.origin)
        module = module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return _Loader.left_out


if __name__ == "__main__":
    leave_out_counters()
    from phoenix_compat.__main__ import main

    main()
