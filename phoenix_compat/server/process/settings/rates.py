"""How fast and from how many connections clients may act."""

from __future__ import annotations

from pydantic import BaseModel


class RateSettings(BaseModel):
    """The part of `Settings` about this subject."""
