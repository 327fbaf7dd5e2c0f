"""Finds the content of a file by the value that stands for it in an input.

    data:image/png;base64,…                 the file itself
    http://…/v1/files/<id>                  a file that was uploaded here
    https://…/files/<sha256>.<ext>          a file of the task server, read from its folder
    any other address                       not fetched: clients could reach other servers with it

The methods may block: call them in a thread.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from phoenix_compat.emulator.uploads import Uploads

_UPLOADED: Final = re.compile(r"https?://[^/\s]+(?:/v1)+/files/([0-9a-z]{26})", re.ASCII)
_ARCHIVED: Final = re.compile(
    r"https?://[^/\s]+(?:/[^?#\s]*)?/files/(([0-9a-f]{2})([0-9a-f]{2})[0-9a-f]{60}\.[a-z0-9]{1,5})",
    re.ASCII,
)
_ADDRESS: Final = re.compile(r"https?://[^/\s]+", re.ASCII | re.IGNORECASE)
_DATA_URL: Final = re.compile(r"data:[^,]{0,200},", re.ASCII | re.IGNORECASE)


class UnreadableInputError(Exception):
    """A model cannot read its input; the text is the prediction's `error`."""


class SourceFiles:
    """The files that inputs refer to.

    Args:
        uploads: the files that were uploaded here.
        folder: the folder of the task server's files; None if there is none.
    """

    def __init__(self, uploads: Uploads, folder: Path | None) -> None:
        self._uploads = uploads
        self._folder = folder

    def read(self, value: str) -> bytes | None:
        """The content of a file; None if it is on another server.

        Raises:
            UnreadableInputError: it is an upload that does not exist, or not a valid URL.
        """
        if (header := _DATA_URL.match(value)) is not None:
            return _decoded(header[0], value[header.end() :])
        if (uploaded := _UPLOADED.fullmatch(value)) is not None:
            upload = self._uploads.find(uploaded[1])
            if upload is None:
                raise UnreadableInputError(f"404 Client Error: Not Found for url: {value}")
            return upload.content
        if (archived := _ARCHIVED.fullmatch(value)) is not None and self._folder is not None:
            try:
                return (self._folder / archived[2] / archived[3] / archived[1]).read_bytes()
            except OSError:
                return None
        if _ADDRESS.match(value) is None:
            raise UnreadableInputError("Does not match format 'uri'")
        return None


def _decoded(header: str, text: str) -> bytes:
    if not header.lower().endswith(";base64,"):
        return unquote_to_bytes(text)
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise UnreadableInputError("Incorrect padding of a base64 data URL") from None
