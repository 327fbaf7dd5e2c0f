"""Stores which files each owner has sent, and which tasks use them.

The files themselves are in the archive, one copy for all owners. An owner can use only files that
it has sent itself: another owner's file is found as little as a missing one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

from phoenix_compat.tasks.model.clock import Clock, SystemClock, parse_time, stored_time
from phoenix_compat.tasks.model.errors import InvalidInputError, UploadsFullError
from phoenix_compat.tasks.model.inputs.file_inputs import UsedUpload
from phoenix_compat.tasks.store.database import Transaction
from phoenix_compat.tasks.store.statements import upload_queries
from phoenix_compat.tasks.store.store import Store
from phoenix_compat.tasks.store.task_reader import tomorrow

UPLOAD_RETENTION: Final = timedelta(days=1)
"""How long a file that no task uses is kept."""


class UploadStore:
    """The files of all owners.

    Args:
        store: any store with the database.
        max_bytes_per_day: the limit for the new files of one owner within 24 hours; 0 for none.

    Attributes:
        refused: how many files that limit has refused.
    """

    def __init__(
        self,
        store: Store,
        max_bytes_per_day: int = 0,
        clock: Clock | None = None,
    ) -> None:
        self._store = store
        self._clock = clock or SystemClock()
        self.max_bytes_per_day = max_bytes_per_day
        self.refused = 0

    async def add(self, owner: str, sha256: str, content_type: str, size_bytes: int) -> None:
        """Record that an owner has sent a file; it may have been sent before.

        Raises:
            UploadsFullError: the owner has sent too much within a day.
            StoreUnavailableError: nothing was written.
        """
        now = self._clock.now()
        values = {
            "owner": owner,
            "sha256": sha256,
            "content_type": content_type,
            "size_bytes": size_bytes,
            "now": stored_time(now),
        }

        async def work(transaction: Transaction) -> None:
            await self._check_quota(transaction, values, size_bytes, now)
            await transaction.execute(upload_queries.ADD_UPLOAD, values)

        await self._store.database.write(work)

    async def unused(self, before: datetime, limit: int) -> frozenset[str]:
        """Hashes of files that no task uses and that were last sent or used before a time."""
        params = {**self._unused_since(before), "limit": limit}
        rows = await self._store.database.read(upload_queries.UNUSED_UPLOADS, params)
        return frozenset(str(row["sha256"]) for row in rows)

    async def still_uploaded(self, hashes: Collection[str], before: datetime) -> frozenset[str]:
        """Which of these files another owner, for whom they are not unused, has sent too."""
        params = {**self._unused_since(before), "hashes": json.dumps(sorted(hashes))}
        rows = await self._store.database.read(upload_queries.STILL_UPLOADED, params)
        return frozenset(str(row["sha256"]) for row in rows)

    async def delete_unused(self, hashes: Collection[str], before: datetime) -> int:
        """Forget those of these files that are still unused; returns how many rows were deleted.

        Raises:
            StoreUnavailableError: nothing was deleted.
        """
        params = {**self._unused_since(before), "hashes": json.dumps(sorted(hashes))}
        return await self._store.database.write(
            lambda transaction: transaction.execute(upload_queries.DELETE_UPLOADS, params)
        )

    async def _check_quota(
        self,
        transaction: Transaction,
        values: Mapping[str, object],
        size_bytes: int,
        now: datetime,
    ) -> None:
        limit_bytes = self.max_bytes_per_day
        if limit_bytes == 0:
            return
        since = {**values, "since": stored_time(now - UPLOAD_RETENTION)}
        for row in await transaction.rows(upload_queries.SENT_BYTES, since):
            if row["size_bytes"] + size_bytes > limit_bytes:
                self.refused += 1
                free_at = now if row["oldest"] is None else parse_time(row["oldest"])
                wait_s = (free_at + UPLOAD_RETENTION - now).total_seconds()
                raise UploadsFullError(limit_bytes, max(math.ceil(wait_s), 1))

    def _unused_since(self, before: datetime) -> dict[str, object]:
        return {"before": stored_time(before), "tomorrow": tomorrow(self._clock.now())}


async def use_upload(
    transaction: Transaction, task: Mapping[str, object], upload: UsedUpload
) -> None:
    """Record, in the transaction that adds a task, that it uses a file of its owner.

    Args:
        task: the values of the task: `id`, `owner` and `now`.

    Raises:
        InvalidInputError: the owner has no such file.
    """
    values = {
        "owner": task["owner"],
        "now": task["now"],
        "sha256": upload.sha256,
        "task_id": task["id"],
    }
    if await transaction.execute(upload_queries.USE_UPLOAD, values) != 1:
        raise InvalidInputError(
            upload.field,
            "there is no file with this id; send it with POST /api/files, and write its id",
        )
    await transaction.execute(upload_queries.ADD_TASK_INPUT, values)
