"""Finds the stored files of a server that does not run, wherever its settings keep them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from phoenix_compat.server.process.settings import Settings
from phoenix_compat.tasks.archive.archive import Archive
from phoenix_compat.tasks.archive.content_store import ContentStore
from phoenix_compat.tasks.archive.input_files import find_stored
from phoenix_compat.tasks.model.inputs.file_inputs import StoredInput


def archive_of(settings: Settings) -> Archive:
    """The files, to delete some of them; it downloads none."""
    return Archive(
        settings.files_path,
        is_shared=settings.shared_folder is not None,
        bucket=settings.bucket,
    )


def files_at(settings: Settings) -> str:
    """Where they are, for people; without secrets."""
    return str(settings.bucket or settings.files_path)


@contextmanager
def finding_files(settings: Settings) -> Iterator[Callable[[str], StoredInput | None]]:
    """A function that finds the file of a hash. It blocks, and may raise FileStoreError."""
    if settings.bucket is None:
        yield partial(find_stored, ContentStore.reading(settings.files_path))
        return
    files = archive_of(settings).inputs
    with asyncio.Runner() as runner:
        yield lambda sha256: runner.run(files.find(sha256))
