"""Tokens made by Phoenix, and keys and times for the tests of tokens."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import pytest

from phoenix_compat.conformance.suite.catalog import read_vectors
from phoenix_compat.protocol.erlang_term import Atom, encode
from phoenix_compat.protocol.token import (
    decrypt,
    derive_key,
    encrypt,
    sign,
    verify,
)

VECTORS = read_vectors("data/tokens.json")
SECRET: str = VECTORS["secret_key_base"]
KEY = derive_key(SECRET, VECTORS["salt"])
BY_NAME = {vector["id"]: vector for vector in VECTORS["tokens"]}

SIGNED_AT_MS = 1_000_000_000
DAY_MS = 86_400_000
NONCE = bytes(range(100, 124))
MAP_DATA = {"user_id": 5, "name": "Zoë"}

# Made by OTP 25 with its own crypto, as plug_crypto 2.x and 1.x do: {MAP_DATA, SIGNED_AT_MS, 86400}
# with the first key an atom.
ENCRYPTED = (
    "XCP.ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7Do1FHpDfeuPQkwUErCZ2O4WY08l9luyKvqPOVLLrKAmHgZ-0a0aWs04E"
    "CLwDMtdxdlAhTp6fF628E8vT8qSR"
)
ENCRYPTED_V1 = {
    128: "QTEyOEdDTQ.JUJXS28VeoAmLgpbgFZDIgh6Au1X0rL1YeWzNVgDWUx3cmFwcGluZy0xMiE."
    "bm9uY2Utb2YtMTIh.Rczf2kaCU14j1ut5K3BdzgO2gOrnqqX-4f04zeRoTw182N3igOQ7BGV-Cb6WEDk."
    "bMXG3nag2NOjZcpygNAERA",
    192: "QTEyOEdDTQ.JUJXS28VeoAmLgpbgFZDIiQGTmrrOoOD0zz7h-5vIBF5B9KUjvTpCXdyYXBwaW5nLTEyIQ."
    "bm9uY2Utb2YtMTIh.L0eaYV7Nz2WwUgkxsredAv3yKWm_wOKECVZ98S9qXjOcP1_oJX2a4fpsnERLxRQ."
    "SWH3r1rGCFH_3gBSwx1Q1Q",
    256: "QTEyOEdDTQ.JUJXS28VeoAmLgpbgFZDIiQGTmrrOoODFw1vZ9MG5rwCYOMdlVa_9fJ9IiDFS7Xbd3JhcHBpbmct"
    "MTIh.bm9uY2Utb2YtMTIh.llSoG5oYrEHUWD_qlDLQlQ_lzWQ0Z900X8t0MazhBscG8Q0F7gAY2yF6b-XTiWA."
    "RJWgCBwQ5h1VYoJU_K-iUw",
}
SIGNED_BY_OTP = {
    "sha384": "SFMzODQ.g2gDdAAAAAJ3B3VzZXJfaWRhBW0AAAAEbmFtZW0AAAAEWm_Dq2I7msoAYgABUYA."
    "Akks4mYjd0ot5ofkih3sGXTPbNrsLDWNHBGnVZZl8PG1QBS5fV6jw4mcVOHOVsLb",
    "sha512": "SFM1MTI.g2gDdAAAAAJ3B3VzZXJfaWRhBW0AAAAEbmFtZW0AAAAEWm_Dq2I7msoAYgABUYA."
    "Lp-rTwqGiBICIijsJQPTRyVCxlLlffikuU5fu5wO5bZXJvNwd2YlbD4vDcMl0LLlXOPWPr1jErtFAmm5W-MNDQ",
}
COMPRESSED_BY_OTP = (
    "SFMyNTY.g1AAAAMAeJzLYM5hYGAwygUSXEX5-blWOflJSZWj3FHuMOZmJVnPOsWQxMAY2AAAYobm1Q."
    "0EkvW_mIeVfakHZ0duIdrAiRu6GR9H4ClzSB1G6KTOQ"
)
LEGACY_MAP_BY_OTP = (
    "SFMyNTY.g3QAAAACZAAEZGF0YWEHZAAGc2lnbmVkYjuaygA.ufILCGOSg7tRRbnYCHNRSyA7-dQCu9P-cU-EjBYNQkM"
)
MADE_WITH_ATOM_KEY = {Atom("user_id"): 5, "name": "Zoë"}


def b64(data: bytes) -> str:
    """Base64 as in Phoenix."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """Decode Phoenix's base64."""
    return base64.urlsafe_b64decode(text + "==")


def as_json(value: Any) -> Any:
    """A value in the form of the vectors: tuples as arrays, atoms as texts."""
    return json.loads(json.dumps(value))


def signed_term(term: Any) -> str:
    """A correctly signed token with any term."""
    plain = f"SFMyNTY.{b64(encode(term))}"
    return f"{plain}.{b64(hmac.digest(KEY, plain.encode(), 'sha256'))}"


def sign_at(data: Any = 1, max_age_s: float = 86_400) -> str:
    """A signed token of SIGNED_AT_MS."""
    return sign(data, KEY, signed_at_ms=SIGNED_AT_MS, max_age_s=max_age_s)


def encrypt_at(data: Any = 1, max_age_s: float = 86_400) -> str:
    """An encrypted token of SIGNED_AT_MS."""
    return encrypt(data, KEY, signed_at_ms=SIGNED_AT_MS, nonce=NONCE, max_age_s=max_age_s)


MAKE_AND_READ = pytest.mark.parametrize(
    ("make", "read"), [(sign_at, verify), (encrypt_at, decrypt)], ids=["signed", "encrypted"]
)
