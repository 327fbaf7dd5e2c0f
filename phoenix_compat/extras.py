"""The extras of the package: what each installs, and whether it is there.

Without any extra the package is the channels library. The modules are looked for and not imported,
so to ask costs little. `pyproject.toml` has the versions.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Final, Literal, TypeAlias

from phoenix_compat.errors import MissingExtraError

Extra: TypeAlias = Literal[
    "server", "conformance", "crypto", "uvloop", "postgres", "redis", "nats", "s3"
]

MODULES: Final[dict[Extra, tuple[str, ...]]] = {
    "server": (
        "aiosqlite",
        "click",
        "httpx",
        "httpx_aiohttp",
        "jwt",
        "PIL",
        "pydantic",
        "replicate",
        "rich",
        "structlog",
    ),
    "conformance": ("click", "rich"),
    "crypto": ("cryptography",),
    "uvloop": ("uvloop",),
    "postgres": ("asyncpg",),
    "redis": ("redis",),
    "nats": ("nats",),
    "s3": ("obstore",),
}
"""What each extra installs, as the modules that are imported; `LATER` has the others."""
OF_MANY_MACHINES: Final[frozenset[Extra]] = frozenset({"postgres", "redis", "nats", "s3"})
"""What only servers on several machines need; the extra `all` is without them."""
LATER: Final[frozenset[str]] = frozenset({"prometheus_client"})
"""What the server runs without: `GET /metrics` asks for it, and says how to install it."""

_NAMES: Final[dict[Extra, str]] = {
    "server": "the task server",
    "conformance": "the conformance suite",
    "crypto": "cryptography, which encrypted tokens need,",
    "uvloop": "uvloop",
    "postgres": "asyncpg, which PostgreSQL needs,",
    "redis": "redis-py, which Redis needs,",
    "nats": "nats-py, which NATS needs,",
    "s3": "obstore, which files_url needs,",
}


def is_installed(extra: Extra) -> bool:
    """Whether everything is there that the extra installs."""
    return all(map(_is_there, MODULES[extra]))


def missing_extra(extra: Extra) -> MissingExtraError:
    """The error that says how to install it."""
    return MissingExtraError(_NAMES[extra], extra)


def require(extra: Extra) -> None:
    """Let only those pass who have it.

    Raises:
        MissingExtraError: something is not there that the extra installs.
    """
    if not is_installed(extra):
        raise missing_extra(extra)


@contextmanager
def hidden(*modules: str) -> Iterator[None]:
    """Import something as if these were not installed; what is imported already stays.

    For packages that import others whenever they are there.
    """
    names = [name for name in modules if name not in sys.modules]
    # The import system takes None for a module that cannot be found.
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


def _is_there(module: str) -> bool:
    if module in sys.modules:
        return sys.modules[module] is not None
    try:
        return find_spec(module) is not None
    except ImportError:  # of an import hook that hides it
        return False
