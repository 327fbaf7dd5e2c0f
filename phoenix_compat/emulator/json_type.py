"""The type of a JSON value, for the edges where a document has no class of its own."""

from __future__ import annotations

from typing import Any, TypeAlias

JSON: TypeAlias = Any
JsonObject: TypeAlias = dict[str, Any]
