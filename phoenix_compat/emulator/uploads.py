"""Files that clients uploaded, held in memory for a day, up to a size limit."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from phoenix_compat.emulator.clock import timestamp
from phoenix_compat.emulator.json_type import JsonObject

_LIFETIME_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Upload:
    """One uploaded file."""

    id: str
    name: str
    content_type: str
    content: bytes
    created_at_s: float
    metadata: JsonObject = field(default_factory=dict)

    def document(self, origin: str) -> JsonObject:
        """The file object of the API."""
        sha256 = hashlib.sha256(self.content).hexdigest()
        md5 = hashlib.md5(self.content, usedforsecurity=False).hexdigest()
        return {
            "id": self.id,
            "name": self.name,
            "content_type": self.content_type,
            "size": len(self.content),
            "etag": md5,
            "checksums": {"sha256": sha256, "md5": md5},
            "metadata": self.metadata,
            "created_at": timestamp(self.created_at_s),
            "expires_at": timestamp(self.created_at_s + _LIFETIME_S),
            "urls": {"get": f"{origin}/v1/files/{self.id}"},
        }


class Uploads:
    """The uploaded files by id. The oldest are evicted when the limit is exceeded.

    Args:
        capacity_bytes: the limit on all files together.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._by_id: dict[str, Upload] = {}

    def add(self, upload: Upload) -> None:
        """Store a file, and evict the oldest others that no longer fit."""
        self._by_id[upload.id] = upload
        total_bytes = sum(len(stored.content) for stored in self._by_id.values())
        for stored in list(self._by_id.values()):
            if total_bytes <= self._capacity_bytes or stored is upload:
                return
            total_bytes -= len(stored.content)
            del self._by_id[stored.id]

    def find(self, upload_id: str) -> Upload | None:
        """The file with this id, or None."""
        return self._by_id.get(upload_id)

    def forget_expired(self, now_s: float) -> None:
        """Delete the files whose lifetime is over."""
        for stored in list(self._by_id.values()):
            if stored.created_at_s + _LIFETIME_S <= now_s:
                del self._by_id[stored.id]

    def remove(self, upload_id: str) -> bool:
        """Delete a file. Returns False when there is none with this id."""
        return self._by_id.pop(upload_id, None) is not None

    def newest_first(self) -> list[Upload]:
        """All files, the newest first."""
        return list(reversed(self._by_id.values()))
