"""docs/from-phoenix.md lists every function of Phoenix, with a Python name that exists."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

import phoenix_compat
from phoenix_compat import Endpoint, Presence, PubSub, Socket, Tokens
from phoenix_compat.testing import ChannelClient, ChannelTest
from tests.docs.pages import page
from tests.docs.phoenix_functions import FUNCTIONS

PAGE = page("from-phoenix.md")
OBJECTS: dict[str, Any] = {
    "channels": ChannelTest,
    "client": ChannelClient,
    "endpoint": Endpoint(),
    "presence": Presence,
    "pubsub": PubSub,
    "socket": Socket,
    "tokens": Tokens,
}
"""What the words at the beginning of a Python name stand for, as the page says."""


def rows_of(module: str) -> list[list[str]]:
    """The rows of the table of a module: Phoenix, Python, and a note."""
    section = PAGE.partition(f"\n### {module}\n")[2]
    table = section.partition("|---|---|---|\n")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def find(name: str) -> Any:
    """The object with a Python name of the page."""
    first, *others = name.split(".")
    found = OBJECTS.get(first) or getattr(phoenix_compat, first)
    for other in others:
        found = getattr(found, other)
    return found


@pytest.mark.parametrize("module", FUNCTIONS)
def test_every_function_is_listed(module: str) -> None:
    """The table of a module has each function once, and no function that there is not."""
    listed = [name for row in rows_of(module) for name in re.findall(r"^`(\S+/\d)`$", row[0])]

    assert sorted(listed) == sorted(FUNCTIONS[module].split())


@pytest.mark.parametrize("module", FUNCTIONS)
def test_every_python_name_exists(module: str) -> None:
    """Each name can be found, and takes the arguments that are shown."""
    for _, python, note in rows_of(module):
        spans = re.findall(r"`([\w.]+)(?:\(([^`]*)\))?`", python)
        assert spans or (python == "none" and note), python
        for name, arguments in spans:
            found = find(name)
            if arguments:
                values = [one.strip() for one in arguments.split(",")]
                positional = [one for one in values if "=" not in one]
                named = dict(one.split("=") for one in values if "=" in one)
                own = ["self"] if takes_self(name) else []
                inspect.signature(found).bind(*own, *positional, **named)


def takes_self(name: str) -> bool:
    """Whether a name is a method that is looked up in its class."""
    first = name.partition(".")[0]
    owner = OBJECTS.get(first) or getattr(phoenix_compat, first)
    return "." in name and isinstance(owner, type)
