"""The text of an error."""

from __future__ import annotations

from collections.abc import Callable

import pytest


def error_of(kind: type[Exception], declare: Callable[[], object]) -> str:
    """Declare something that is a mistake, and return the text of its error."""
    with pytest.raises(kind) as raised:
        declare()
    return str(raised.value)
