"""Public keys for JSON Web Tokens: from a PEM file or a JSON Web Key Set.

Source: RFC 7517, JSON Web Key; RFC 7518, sections 3.3 and 3.4, for the sizes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import jwt
import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from phoenix_compat.background import BackgroundTask
from phoenix_compat.errors import ConfigError

MAX_KEYS: Final = 100
"""More keys of a set are ignored."""
_MIN_RSA_BITS: Final = 2048
_MAX_RSA_BITS: Final = 8192
_MAX_EXPONENT: Final = 2**32
"""A large exponent makes each check slow."""

_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"

PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey


class KnownKey(NamedTuple):
    """A public key and the algorithm that it is for.

    Attributes:
        kid: its name in its set; None if it has none.
    """

    algorithm: str
    kid: str | None
    key: PublicKey


class PublicKeySource(Protocol):
    """Where the public keys come from."""

    async def find(self, algorithm: str, kid: str | None) -> PublicKey | None:
        """The key for a token with this algorithm and key id; None if there is none.

        Raises:
            AuthUnavailableError: the keys are not there yet.
        """

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """The background tasks that it needs."""


class KeySet:
    """Public keys by algorithm and key id."""

    background: tuple[BackgroundTask, ...] = ()

    def __init__(self, keys: Iterable[KnownKey]) -> None:
        self._keys: dict[tuple[str, str | None], PublicKey] = {}
        self._by_algorithm: dict[str, list[PublicKey]] = {}
        for algorithm, kid, key in keys:
            self._keys.setdefault((algorithm, kid), key)
            self._by_algorithm.setdefault(algorithm, []).append(key)

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, algorithm: str, kid: str | None) -> PublicKey | None:
        """The key with this id. A token without id gets the only key, if there is only one."""
        if kid is not None:
            return self._keys.get((algorithm, kid))
        candidates = self._by_algorithm.get(algorithm, [])
        return candidates[0] if len(candidates) == 1 else None

    async def find(self, algorithm: str, kid: str | None) -> PublicKey | None:
        """See PublicKeySource."""
        return self.get(algorithm, kid)


class SingleKey:
    """The one key of a PEM file, for tokens with any key id: the file does not say its own."""

    background: tuple[BackgroundTask, ...] = ()

    def __init__(self, known: KnownKey) -> None:
        self._known = known

    async def find(self, algorithm: str, kid: str | None) -> PublicKey | None:
        """See PublicKeySource."""
        del kid
        return self._known.key if algorithm == self._known.algorithm else None


def key_of_pem(data: bytes) -> KnownKey:
    """The key in the text of a PEM file: a public key or a certificate.

    Raises:
        ConfigError: it is another kind of file or key; the text does not quote it.
    """
    try:
        if _CERTIFICATE in data:
            key: object = x509.load_pem_x509_certificate(data).public_key()
        else:
            key = load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            "the file is not a public key in PEM form (-----BEGIN PUBLIC KEY-----)"
        ) from error
    return KnownKey(_checked_algorithm(key), None, key)  # type: ignore[arg-type] # as checked


def key_set_of(data: bytes) -> KeySet:
    """The usable keys of a JSON Web Key Set. Keys for other purposes are left out.

    Raises:
        ConfigError: it is not a key set, or no key of it can be used.
    """
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError("the key set is not valid JSON") from error
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ConfigError('the key set is not a JSON object with a list "keys"')
    found = KeySet(
        known
        for entry in entries[:MAX_KEYS]
        if isinstance(entry, dict) and (known := _known_key(entry)) is not None
    )
    if not len(found):
        raise ConfigError(
            "the key set has no key for RS256 (RSA of 2048 bits or more) or ES256 (P-256)"
        )
    return found


def _known_key(entry: Mapping[str, Any]) -> KnownKey | None:
    """A key of a set; None if it is not a public key for checking RS256 or ES256."""
    kid, operations = entry.get("kid"), entry.get("key_ops", ["verify"])
    is_usable = (
        entry.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and (kid is None or isinstance(kid, str))
    )
    loaders = {"RSA": RSAAlgorithm.from_jwk, "EC": ECAlgorithm.from_jwk}
    loader = loaders.get(str(entry.get("kty")))
    if not is_usable or loader is None:
        return None
    try:
        key: Any = loader(dict(entry))
        algorithm = _checked_algorithm(key)
    except (jwt.PyJWTError, ConfigError, ValueError, TypeError, OverflowError):
        return None
    return KnownKey(algorithm, kid, key) if entry.get("alg", algorithm) == algorithm else None


def _checked_algorithm(key: object) -> str:
    """The algorithm that a public key is for.

    Raises:
        ConfigError: it is for none of ours, weak, or a private key.
    """
    match key:
        case RSAPublicKey():
            if not _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS:
                raise ConfigError(
                    f"an RSA key must have {_MIN_RSA_BITS} to {_MAX_RSA_BITS} bits, "
                    f"not {key.key_size}"
                )
            if key.public_numbers().e > _MAX_EXPONENT:
                raise ConfigError("the RSA key has too large an exponent")
            return "RS256"
        case EllipticCurvePublicKey(curve=SECP256R1()):
            return "ES256"
        case _:
            raise ConfigError("the key must be an RSA key, or an elliptic curve key on P-256")
