"""The answer to POST /api/files."""

from __future__ import annotations

from pydantic import Field

from phoenix_compat.server.http.schemas.answer import Answer


class UploadedFile(Answer):
    """A file that is stored, for tasks of its owner."""

    id: str = Field(
        pattern=r"^upload:[0-9a-f]{64}$",
        description="What to write where a model takes a file. It is made from the content.",
    )
    url: str = Field(description="Where the file can be read, by whoever knows the address.")
    content_type: str = Field(description="The type of the stored file, found by its first bytes.")
    size_bytes: int = Field(ge=1, description="The length of the stored file, in bytes.")
