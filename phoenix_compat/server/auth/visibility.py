"""Who may watch a task: its owner, or whoever knows its id."""

from __future__ import annotations

from typing import Literal, TypeAlias

from phoenix_compat.server.auth.principal import Principal

Visibility: TypeAlias = Literal["owner", "link"]


def watched_owner(principal: Principal, visibility: Visibility) -> str | None:
    """The owner whose tasks a client may watch by their ids, as the store takes it.

    Lists, cancels and retries are always limited to `Principal.visible_owner`.
    """
    return None if visibility == "link" else principal.visible_owner
