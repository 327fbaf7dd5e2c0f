"""Signs, verifies, encrypts and decrypts tokens that are compatible with Phoenix.Token.

Start with `signed` or `encrypted`; `keys` derives their keys, and `contents` is what both hold.

    key       = PBKDF2-HMAC(secret_key_base, salt), 32 bytes
    term      = {data, signed_at in ms, max_age in s or :infinity}
    signed    = "SFMyNTY" "." base64url(term) "." base64url(HMAC(key, all before the last dot))
    encrypted = "XCP" "." base64url(24-byte nonce + 16-byte tag + ciphertext of the term)

The cipher is XChaCha20-Poly1305. A term is read only after its signature was verified, in constant
time. The clock, the nonce and the key are arguments; `phoenix_compat.token.Tokens` provides them.

Differs from Phoenix: only the base64 form that Phoenix writes is accepted. Elixir also accepts
padding and stray bits at the end, so that one token has several texts. A token whose term has the
wrong shape is an invalid token here; Phoenix raises.

Source: plug_crypto c326c3c, lib/plug/crypto.ex, sign/4, verify/4, encrypt/4, decrypt/4, and
lib/plug/crypto/message_verifier.ex, message_encryptor.ex, key_generator.ex.
"""

from __future__ import annotations

from phoenix_compat.protocol.token.contents import (
    DEFAULT_MAX_AGE_S,
    MAX_TOKEN_CHARS,
    ExpiredTokenError,
    InvalidTokenError,
    MissingTokenError,
    TokenContents,
    TokenError,
)
from phoenix_compat.protocol.token.encrypted import (
    NONCE_BYTES,
    decrypt,
    encrypt,
    read_encrypted,
)
from phoenix_compat.protocol.token.keys import (
    DEFAULT_ITERATIONS,
    KEY_BYTES,
    MIN_SECRET_BYTES,
    Digest,
    derive_key,
    secret_bytes,
)
from phoenix_compat.protocol.token.signed import (
    read_signed,
    sign,
    verify,
)

__all__ = [
    "DEFAULT_ITERATIONS",
    "DEFAULT_MAX_AGE_S",
    "KEY_BYTES",
    "MAX_TOKEN_CHARS",
    "MIN_SECRET_BYTES",
    "NONCE_BYTES",
    "Digest",
    "ExpiredTokenError",
    "InvalidTokenError",
    "MissingTokenError",
    "TokenContents",
    "TokenError",
    "decrypt",
    "derive_key",
    "encrypt",
    "read_encrypted",
    "read_signed",
    "secret_bytes",
    "sign",
    "verify",
]
