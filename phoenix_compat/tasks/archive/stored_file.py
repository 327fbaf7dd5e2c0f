"""A file of the archive as a value, and its JSON form in a task's row. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from phoenix_compat.tasks.model.task import JSONObject


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """An output that is stored durably under the hash of its content.

    Attributes:
        sha256: the hash of its content, 64 hex digits.
        content_type: the type that was detected from its content.
        path: relative to the archive's folder, with slashes: "ab/cd/<sha256>.<ext>".
        thumbnail_path: the same for its thumbnail; None when there is none.
        source_url: the URL that it was downloaded from; None for a `data:` URL.
    """

    sha256: str
    size_bytes: int
    content_type: str
    path: str
    thumbnail_path: str | None = None
    source_url: str | None = None

    @property
    def name(self) -> str:
        """Its name in `GET /files/<name>`."""
        return self.path.rpartition("/")[2]

    @property
    def thumbnail_name(self) -> str | None:
        """Its thumbnail's name in `GET /files/thumbnails/<name>`."""
        return None if self.thumbnail_path is None else self.thumbnail_path.rpartition("/")[2]

    def document(self) -> JSONObject:
        """The JSON form for a task's row; absent values are left out."""
        document: JSONObject = {
            "sha256": self.sha256,
            "bytes": self.size_bytes,
            "content_type": self.content_type,
            "path": self.path,
        }
        if self.thumbnail_path is not None:
            document["thumbnail_path"] = self.thumbnail_path
        if self.source_url is not None:
            document["source_url"] = self.source_url
        return document


def stored_file(document: JSONObject) -> StoredFile:
    """The file of a document that `StoredFile.document` made."""
    return StoredFile(
        sha256=document["sha256"],
        size_bytes=document["bytes"],
        content_type=document["content_type"],
        path=document["path"],
        thumbnail_path=document.get("thumbnail_path"),
        source_url=document.get("source_url"),
    )
