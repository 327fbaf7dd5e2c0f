"""Types of JSON values, for documents without a class of their own."""

from __future__ import annotations

from typing import Any, TypeAlias

JSON: TypeAlias = Any
JsonObject: TypeAlias = dict[str, Any]
