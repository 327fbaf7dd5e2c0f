"""The tables that are copied from one engine to another."""

from __future__ import annotations

from typing import Final, NamedTuple


class Table(NamedTuple):
    """A table, whose columns have the same names in all engines.

    Attributes:
        key: the columns of its primary key.
        task_id: the column with the id of the task that a row belongs to; None if it has none.
        has_numbers: whether the database gives each new row a `number`.
    """

    name: str
    key: tuple[str, ...]
    task_id: str | None = None
    has_numbers: bool = False


TABLES: Final = (
    Table("tasks", ("number",), "id", has_numbers=True),
    Table("predictions", ("id",), "task_id"),
    Table("events", ("task_id", "seq"), "task_id"),
    Table("idempotency_keys", ("owner", "key"), "task_id"),
    Table("spending", ("period", "subject")),
    Table("api_keys", ("name",)),
    Table("uploads", ("owner", "sha256")),
    Table("task_inputs", ("sha256", "task_id"), "task_id"),
    Table("provider_files", ("url",)),
    Table("webhook_deliveries", ("number",), has_numbers=True),
    Table("webhooks", ("name",)),
)
"""Each after the tables to which its rows refer."""

OF_NODES: Final = frozenset({"nodes", "provider_state", "roles", "shared_secrets"})
"""Tables that are not copied: a file has no rows there, because only nodes fill them."""
