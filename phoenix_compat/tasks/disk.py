"""Forces files and folders to the disk."""

from __future__ import annotations

import os
from pathlib import Path


def fsync_path(path: Path) -> None:
    """Call fsync on a file, or on a folder so that the names in it are durable. Blocking."""
    if os.name == "nt" and path.is_dir():  # Windows cannot open a folder, and needs no fsync
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
