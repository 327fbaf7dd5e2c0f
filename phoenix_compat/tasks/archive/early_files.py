"""Keeps the files of a prediction that is still running, for models that make them one by one.

They are stored like those of a result, which then need not be downloaded again. A file that cannot
be stored now is tried again with the result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias

import structlog

from phoenix_compat.background import log_failure
from phoenix_compat.tasks.archive.errors import ArchiveError
from phoenix_compat.tasks.archive.stored_file import StoredFile
from phoenix_compat.tasks.model.task import JSONObject, Task

MAX_EARLY_FILES: Final = 100
"""The limit for one prediction; further files come with the result."""

Announce: TypeAlias = Callable[[Sequence[JSONObject]], None]
"""Called with the documents of all files that are kept so far, in their order."""

log = structlog.stdlib.get_logger(__name__)


class KeepFiles(Protocol):
    """What this needs of the archive."""

    async def keep(self, task: Task, urls: Sequence[str]) -> Sequence[StoredFile]:
        """See Archive."""
        ...


class EarlyFiles:
    """The files of one running prediction.

    Attributes:
        kept: those that are stored, by the address that the provider gave.
    """

    def __init__(
        self, archive: KeepFiles, task: Task, announce: Announce, *, patience_s: float
    ) -> None:
        """Do nothing yet.

        Args:
            patience_s: how long storing the files of one poll may take.
        """
        self.kept: dict[str, StoredFile] = {}
        self._archive = archive
        self._task = task
        self._announce = announce
        self._patience_s = patience_s
        self._asked: dict[str, None] = {}
        self._waiting: list[str] = []
        self._keeping: asyncio.Task[None] | None = None

    def show(self, urls: Sequence[str]) -> None:
        """Keep the files that are new among those that a poll shows."""
        for url in urls:
            if url not in self._asked and len(self._asked) < MAX_EARLY_FILES:
                self._asked[url] = None
                self._waiting.append(url)
        if self._waiting and (self._keeping is None or self._keeping.done()):
            self._keeping = asyncio.create_task(self._keep_all(), name=f"files-{self._task.id}")
            self._keeping.add_done_callback(log_failure)

    async def settle(self) -> None:
        """Wait until the files that were begun are kept, or cannot be."""
        if self._keeping is not None:
            await asyncio.gather(self._keeping, return_exceptions=True)

    async def close(self) -> None:
        """Stop downloading."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)

    async def _keep_all(self) -> None:
        while self._waiting:
            urls, self._waiting = self._waiting, []
            files: Sequence[StoredFile | None] = ()
            try:
                async with asyncio.timeout(self._patience_s):
                    files = await self._archive.keep(self._task, urls)
            except (ArchiveError, OSError) as error:
                # OSError covers TimeoutError. The archive has logged which file, and why.
                files = error.kept if isinstance(error, ArchiveError) else ()
                log.info("files.not_early", task_id=self._task.id, files=len(urls))
            kept = {url: file for url, file in zip(urls, files, strict=False) if file is not None}
            if kept:
                self.kept |= kept
                self._announce([file.document() for file in self.kept.values()])
