"""The files of a posted task: stores those that are inline, and protects those that it uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from phoenix_compat.server.http.uploads.posted_bodies import InlineFile
from phoenix_compat.tasks.archive.errors import FileTooLargeError, RefusedFileError
from phoenix_compat.tasks.archive.input_files import InputFiles
from phoenix_compat.tasks.model.errors import InvalidInputError
from phoenix_compat.tasks.model.inputs.file_inputs import (
    MAX_FILES,
    FileInput,
    UsedUpload,
    inline_files,
    replace_files,
    upload_reference,
)
from phoenix_compat.tasks.model.task import JSONObject
from phoenix_compat.tasks.store.upload_store import UploadStore

NO_FILES: Final[Mapping[str, InlineFile]] = MappingProxyType({})
_PLACEHOLDER: Final = upload_reference("0" * 64)


class TaskFiles:
    """The files of tasks.

    Args:
        inputs: stores the files.
        uploads: stores who has sent them.
        max_file_bytes: the limit for one file.
    """

    def __init__(self, inputs: InputFiles, uploads: UploadStore, max_file_bytes: int) -> None:
        self._inputs = inputs
        self._uploads = uploads
        self._max_file_bytes = max_file_bytes

    async def store_inline(
        self,
        input_data: JSONObject,
        owner: str,
        check: Callable[[JSONObject], object],
        received: Mapping[str, InlineFile] = NO_FILES,
    ) -> JSONObject:
        """Store the files that are inline; returns the input with references instead.

        Args:
            check: called with the input first, with placeholders for its files; what it refuses
                is not stored.
            received: the files that have arrived already, by the placeholders in the input.

        Raises:
            InvalidInputError: a file is not accepted; or whatever `check` raises.
            UploadsFullError: the owner has sent too much within a day.
            ArchiveError, StoreUnavailableError: it cannot be stored.
        """
        found = inline_files(input_data, received)
        if not found:
            check(input_data)
            return input_data
        if len(found) > MAX_FILES:
            raise InvalidInputError(found[MAX_FILES].field, f"is more than {MAX_FILES} files")
        references = dict.fromkeys((one.value for one in found), _PLACEHOLDER)
        check(_replaced(input_data, references))
        for one in found:
            if references[one.value] == _PLACEHOLDER:
                references[one.value] = await self._store(one, owner, received.get(one.value))
        return _replaced(input_data, references)

    async def protect(self, used: Iterable[UsedUpload]) -> None:
        """Keep the files of a task that is going to be added from being pruned.

        Raises:
            InvalidInputError: a file is not stored.
            ArchiveError: the folder cannot be used.
        """
        for one in used:
            if not await self._inputs.touch(one.sha256):
                reason = "there is no file with this id; send it with POST /api/files"
                raise InvalidInputError(one.field, f"{reason}, and write its id")

    async def _store(self, one: FileInput, owner: str, received: InlineFile | None) -> str:
        register = partial(self._uploads.add, owner)
        try:
            if received is not None:
                stored = await received.keep(register)
            else:
                stored = await self._inputs.keep_data_url(one.value, self._max_file_bytes, register)
        except RefusedFileError as error:
            raise InvalidInputError(one.field, str(error)) from error
        except FileTooLargeError as error:
            reason = f"is a file of more than {error.limit_bytes} bytes; send a smaller one"
            raise InvalidInputError(one.field, reason) from error
        return upload_reference(stored.sha256)


def _replaced(input_data: JSONObject, references: dict[str, str]) -> JSONObject:
    return replace_files(input_data, lambda text: references.get(text, text))
