"""The SQL statements about API keys."""

from __future__ import annotations

from typing import Final

MAX_KEYS: Final = 10_000
"""The limit for names of keys, revoked ones included."""

FIND_KEY: Final = "SELECT * FROM api_keys WHERE name = ?"
"""The key with a name."""

LIST_KEYS: Final = "SELECT * FROM api_keys ORDER BY name"
"""All keys, revoked ones included."""

LIVE_KEYS: Final = f"SELECT * FROM api_keys WHERE revoked_at IS NULL ORDER BY name LIMIT {MAX_KEYS}"  # noqa: S608 - our own text
"""The keys that are not revoked."""

COUNT_KEYS: Final = "SELECT count(*) FROM api_keys"
"""How many keys there are, revoked ones included."""

ADD_API_KEY: Final = """
INSERT INTO api_keys (name, sha256, scopes, created_at) VALUES (:name, :sha256, :scopes, :now)
ON CONFLICT (name) DO UPDATE SET sha256 = excluded.sha256, scopes = excluded.scopes,
  created_at = excluded.created_at, last_used_at = NULL, revoked_at = NULL
"""
"""Add a key, also under the name of a revoked one."""

FIND_SHARED: Final = "SELECT value FROM shared_secrets WHERE name = ?"
"""A secret that the nodes share."""

ADD_SHARED: Final = """
INSERT INTO shared_secrets (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING
"""
"""Add a secret, unless another node has."""

REVOKE_KEY: Final = "UPDATE api_keys SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL"
"""Revoke a key."""

# A key that was created after the use is another one with the same name.
RECORD_USE: Final = """
UPDATE api_keys SET last_used_at = :at
WHERE name = :name AND created_at <= :at AND coalesce(last_used_at, '') < :at
"""
"""Record when a key was used."""
