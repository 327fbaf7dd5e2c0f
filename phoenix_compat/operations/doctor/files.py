"""The doctor's check of the place for files that several servers share."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from pathlib import Path
from typing import Final

from phoenix_compat.errors import MissingExtraError
from phoenix_compat.operations.doctor.finding import Finding, fail, ok, warn
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.tasks.archive.errors import FileStoreError
from phoenix_compat.tasks.archive.file_stores.s3.location import S3Location

_NAME: Final = "files"
_PROBE: Final = "phoenix-compat-doctor"
_REMEDY: Final = (
    "check files_url, its keys (or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), and that they may "
    "list the bucket, and read, write and delete objects in it"
)


async def check_files(settings: Settings) -> Finding:
    """Can files be stored, found and deleted where `files_url` says?"""
    if settings.bucket is not None:
        return await _check_bucket(settings.bucket)
    if settings.shared_folder is not None:
        return await asyncio.to_thread(_check_folder, settings.shared_folder)
    if settings.is_shared:
        detail = (
            f"in {settings.files_path}: a photo that is sent to this server cannot be used by "
            "tasks of servers with another folder, which do not show its pictures either"
        )
        return warn(_NAME, detail, "set files_url; see docs/files.md")
    return ok(_NAME, f"in {settings.files_path}, for this server alone")


async def _check_bucket(location: S3Location) -> Finding:
    from phoenix_compat.tasks.archive.file_stores.s3.bucket import Bucket  # noqa: PLC0415 - rare

    try:
        bucket = Bucket(location)
    except MissingExtraError as error:
        what, _, remedy = str(error).partition(". ")
        return fail(_NAME, what, remedy)
    # Not below the folders of files, which are named by two digits.
    folder = f"{_PROBE}-{secrets.token_hex(8)}"
    key = f"{folder}/probe"
    content = _PROBE.encode()
    try:
        await bucket.put(key, content, len(content), "text/plain")
        listed = [one.key async for one in bucket.list(folder)]
        read = b"".join([block async for block in bucket.read(key, 0, len(content))])
        await bucket.delete(key)
        left = await bucket.head(key)
    except (FileStoreError, FileNotFoundError) as error:
        return fail(_NAME, str(error), _REMEDY)
    if listed != [key] or read != content or left is not None:
        remedy = "use a server that shows at once what was stored and deleted, as S3 does"
        return fail(_NAME, f"{location} does not show what was just stored or deleted", remedy)
    return ok(_NAME, f"{location}: an object was stored, listed, read and deleted")


def _check_folder(folder: Path) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        remedy = "mount it, and give it to the user of the server"
        return fail(_NAME, f"cannot write to {folder}: {error.strerror}", remedy)
    return ok(_NAME, f"{folder} is writable; all servers must have it mounted")
