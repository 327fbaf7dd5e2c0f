"""The SQL statements about the files that clients sent."""

from __future__ import annotations

from typing import Final

ADD_UPLOAD: Final = """
INSERT INTO uploads (owner, sha256, content_type, size_bytes, created_at, used_at)
VALUES (:owner, :sha256, :content_type, :size_bytes, :now, :now)
ON CONFLICT (owner, sha256) DO UPDATE SET used_at = excluded.used_at
"""
"""Add a file of an owner, or record that it was sent again."""

IMPORT_UPLOAD: Final = """
INSERT OR IGNORE INTO uploads (owner, sha256, content_type, size_bytes, created_at, used_at)
VALUES (:owner, :sha256, :content_type, :size_bytes, :now, :now)
"""
"""Add a file of an owner that an imported task uses, at the time when the task was created."""

SENT_BYTES: Final = """
SELECT coalesce(sum(size_bytes), 0) AS size_bytes, min(created_at) AS oldest FROM uploads
WHERE owner = :owner AND sha256 <> :sha256 AND created_at > :since
"""
"""The size of all other files that an owner has sent since a time."""

USE_UPLOAD: Final = "UPDATE uploads SET used_at = :now WHERE owner = :owner AND sha256 = :sha256"
"""Record that a task of its owner uses a file. The row count is 0 if the owner has no such file."""

ADD_TASK_INPUT: Final = """
INSERT OR IGNORE INTO task_inputs (sha256, task_id) VALUES (:sha256, :task_id)
"""
"""Record which file a task uses."""

ADOPT_UPLOADS: Final = "UPDATE OR REPLACE uploads SET owner = :owner WHERE owner = ''"
"""Give the files of nobody in particular to an owner."""

_IS_UNUSED: Final = """
(used_at < :before OR used_at > :tomorrow)
AND NOT EXISTS (SELECT 1 FROM task_inputs WHERE task_inputs.sha256 = uploads.sha256)
"""

UNUSED_UPLOADS: Final = f"""
SELECT owner, sha256 FROM uploads WHERE {_IS_UNUSED} ORDER BY used_at LIMIT :limit
"""  # noqa: S608 - our own text
"""Files that no task uses, and that were last sent or used before a time."""

DELETE_UPLOADS: Final = f"""
DELETE FROM uploads WHERE sha256 IN (SELECT value FROM json_each(:hashes)) AND {_IS_UNUSED}
"""  # noqa: S608 - our own text
"""Delete those of these files that are still unused."""

STILL_UPLOADED: Final = f"""
SELECT sha256 FROM uploads
WHERE sha256 IN (SELECT value FROM json_each(:hashes)) AND NOT ({_IS_UNUSED})
"""  # noqa: S608 - our own text
"""Those of these hashes that another owner has sent lately."""

LATEST_SENT: Final = """
SELECT url FROM provider_files WHERE sha256 = :sha256 AND expires_at > :valid_at
ORDER BY created_at DESC LIMIT 1
"""
"""The address of the newest copy of a file at the provider."""

ADD_SENT: Final = """
INSERT OR REPLACE INTO provider_files (url, sha256, created_at, expires_at)
VALUES (:url, :sha256, :now, :expires_at)
"""
"""Remember a copy of a file at the provider."""

FORGET_SENT: Final = "DELETE FROM provider_files WHERE expires_at < :before"
"""Forget copies that have been gone for long."""

HASHES_OF_SENT: Final = """
SELECT url, sha256 FROM provider_files WHERE url IN (SELECT value FROM json_each(:urls))
"""
"""Which files these addresses are copies of."""
