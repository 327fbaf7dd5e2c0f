"""Who may use the server: authentication and the visibility of tasks."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class AuthSettings(BaseModel):
    """The part of `Settings` about this subject."""

    task_visibility: Literal["owner", "link"] = Field(
        "owner",
        description="who may watch a task: owner, only its owner, or link, whoever knows its id",
    )
