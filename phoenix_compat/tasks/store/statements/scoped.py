"""SQL statements in two forms: for the tasks of everybody, and for those of one owner.

The owner is a condition of the statement, so a task of another owner is found as little as one that
does not exist.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Scoped(NamedTuple):
    """A statement in both forms. The second one has the parameter `owner`.

    Attributes:
        all: finds the tasks of everybody.
        own: finds only those of `owner`.
    """

    all: str
    own: str

    def of(self, owner: str | None) -> str:
        """The statement for the tasks of this owner; None for those of everybody."""
        return self.all if owner is None else self.own


# Only indexes are read before the owner is known. Otherwise another owner's task would take longer
# to not find than a missing one, because its row may be long.
_OWN_TASK: Final = """number = (SELECT number FROM tasks INDEXED BY tasks_by_owner
                WHERE owner = :owner AND number = (SELECT number FROM tasks WHERE id = :id))"""


def with_id(statement: str) -> Scoped:
    """Build a statement whose condition is the task with the id `:id`.

    Args:
        statement: has "{task}" where the condition belongs.
    """
    return Scoped(statement.replace("{task}", "id = :id"), statement.replace("{task}", _OWN_TASK))
