"""All statements of the stores, by name."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Final

from phoenix_compat.tasks.store import statements
from phoenix_compat.tasks.store.statements.scoped import Scoped

_IS_STATEMENT: Final = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")


def all_statements() -> Iterator[tuple[str, str]]:
    """The name and the text of each; one in two forms has two."""
    for module in pkgutil.iter_modules(statements.__path__):
        found = importlib.import_module(f"{statements.__name__}.{module.name}")
        for name, value in vars(found).items():
            if not name.isupper() or name.startswith("_"):
                continue
            if isinstance(value, Scoped):
                yield f"{module.name}.{name}.all", value.all
                yield f"{module.name}.{name}.own", value.own
            elif isinstance(value, str) and _IS_STATEMENT.match(value):
                yield f"{module.name}.{name}", value
