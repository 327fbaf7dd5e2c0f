"""Who may use the server: authentication and the visibility of tasks."""

from __future__ import annotations

from pydantic import BaseModel


class AuthSettings(BaseModel):
    """The part of `Settings` about this subject."""
