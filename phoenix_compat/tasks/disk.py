"""Forces files and folders to the disk."""

from __future__ import annotations

from phoenix_compat.private_files import fsync_path

__all__ = ["fsync_path"]
