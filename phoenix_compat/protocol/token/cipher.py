"""The ciphers of encrypted tokens.

The only module that needs cryptography, which is the extra `crypto`; `encrypted` imports it at
the first token that is encrypted or decrypted.
"""

from __future__ import annotations

import struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

__all__ = ["InvalidTag", "decrypt", "decrypt_v1", "encrypt"]

_AAD: Final = b"A128GCM"
"""What both ciphers authenticate besides: the name of the older, kept by the newer."""


def encrypt(key: bytes, nonce: bytes, term: bytes) -> bytes:
    """The encrypted term with its tag, 16 bytes, behind it; the nonce has 24 bytes."""
    cipher, short_nonce = _xchacha20_poly1305(key, nonce)
    return cipher.encrypt(short_nonce, term, _AAD)


def decrypt(key: bytes, nonce: bytes, sealed: bytes) -> bytes:
    """The term of what `encrypt` made; raises InvalidTag when it was made with another key."""
    cipher, short_nonce = _xchacha20_poly1305(key, nonce)
    return cipher.decrypt(short_nonce, sealed, _AAD)


def decrypt_v1(key: bytes, wrapped: bytes, nonce: bytes, sealed: bytes) -> bytes:
    """The term of a token of plug_crypto 1.x; raises InvalidTag as `decrypt` does.

    Args:
        wrapped: the token's own AES key, encrypted: key, tag of 16 bytes, nonce of 12.
        nonce: 12 bytes.
        sealed: the encrypted term with its tag behind it.
    """
    own_key = AESGCM(key).decrypt(wrapped[-12:], wrapped[:-12], b"")
    return AESGCM(own_key).decrypt(nonce, sealed, _AAD)


def _xchacha20_poly1305(key: bytes, nonce: bytes) -> tuple[ChaCha20Poly1305, bytes]:
    """The cipher with the long nonce, as the cipher with the short one and what remains for it.

    Source: draft-irtf-cfrg-xchacha-03, sections 2.2 (HChaCha20) and 2.3.
    """
    start = nonce[:16]
    keystream = Cipher(ChaCha20(key, start), mode=None).encryptor().update(bytes(64))
    # A block of ChaCha20 is its last state plus its first; HChaCha20 is the last state alone, the
    # first and the last row of it.
    mixed = struct.unpack("<8I", keystream[:16] + keystream[48:])
    first = struct.unpack("<8I", b"expand 32-byte k" + start)
    words = [(a - b) & 0xFFFFFFFF for a, b in zip(mixed, first, strict=True)]
    return ChaCha20Poly1305(struct.pack("<8I", *words)), bytes(4) + nonce[16:]
