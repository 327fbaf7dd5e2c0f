"""A file of the archive as a value: its name, where it lies, its form in a task's row. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from phoenix_compat.tasks.model.task import JSONObject


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """One output that is on disk, durable, and named by its content.

    Attributes:
        sha256: of its bytes, 64 hex digits.
        content_type: what the bytes are, whatever the provider called them.
        path: below the archive's folder, with slashes: "ab/cd/<sha256>.<ext>".
        thumbnail_path: the same for its thumbnail; None when there is none.
        source_url: where it came from; None when it came inline, as a `data:` URL.
    """

    sha256: str
    size_bytes: int
    content_type: str
    path: str
    thumbnail_path: str | None = None
    source_url: str | None = None

    @property
    def name(self) -> str:
        """What `GET /files/<name>` calls it."""
        return self.path.rpartition("/")[2]

    @property
    def thumbnail_name(self) -> str | None:
        """What `GET /files/thumbnails/<name>` calls its thumbnail."""
        return None if self.thumbnail_path is None else self.thumbnail_path.rpartition("/")[2]

    def document(self) -> JSONObject:
        """The file for a task's row; an absent part is left out."""
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
    """The file that `StoredFile.document` wrote."""
    return StoredFile(
        sha256=document["sha256"],
        size_bytes=document["bytes"],
        content_type=document["content_type"],
        path=document["path"],
        thumbnail_path=document.get("thumbnail_path"),
        source_url=document.get("source_url"),
    )


def with_own_urls(
    result: JSONObject, files: Iterable[JSONObject], files_url: str | None
) -> JSONObject:
    """The result with our address for each file that was kept.

    Args:
        result: its strings and lists of strings may be the provider's addresses.
        files: documents of the files that were kept.
        files_url: where clients find the archive; None leaves the provider's addresses.
    """
    if files_url is None:
        return result
    kept = [stored_file(document) for document in files]
    own = {file.source_url: f"{files_url}/{file.name}" for file in kept}
    return {
        key: [own.get(item, item) for item in value]
        if isinstance(value, list)
        else own.get(value, value)
        for key, value in result.items()
    }
