"""What tasks may cost: caps, quotas and the models that clients may choose."""

from __future__ import annotations

from pydantic import BaseModel


class BudgetSettings(BaseModel):
    """The part of `Settings` about this subject."""
