"""Chooses the place for files: a folder, or a bucket if the operator names one."""

from __future__ import annotations

from pathlib import Path

from phoenix_compat.tasks.archive.content_store import ContentStore, ContentStoreLimits
from phoenix_compat.tasks.archive.file_stores.file_store import FileStore
from phoenix_compat.tasks.archive.file_stores.folder import FolderFiles
from phoenix_compat.tasks.archive.file_stores.s3.location import S3Location
from phoenix_compat.tasks.model.clock import Clock


def file_store(
    folder: Path,
    limits: ContentStoreLimits,
    clock: Clock,
    bucket: S3Location | None = None,
    *,
    is_shared: bool = False,
) -> FileStore:
    """The files in a folder, or in a bucket; then they only arrive in the folder.

    Args:
        is_shared: whether other servers use the folder too.

    Raises:
        MissingExtraError: a bucket needs the extra s3.
    """
    if bucket is None:
        return FolderFiles(ContentStore(folder, limits, clock, is_shared=is_shared))
    from phoenix_compat.tasks.archive.file_stores.s3.bucket import Bucket  # noqa: PLC0415 - rare
    from phoenix_compat.tasks.archive.file_stores.s3.s3_files import S3Files  # noqa: PLC0415

    # Several processes of a machine may share the folder.
    local = ContentStore(folder, limits, clock, is_shared=True)
    return S3Files(Bucket(bucket), local, limits, clock)
