"""Where NATS is, and how a client is let in."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from phoenix_compat.errors import ConfigError

if TYPE_CHECKING:
    from nats.aio.client import Client

_SCHEMES: Final = ("nats", "tls")
_FILES: Final = ("credentials", "nkey_seed", "tls_ca")
_DEFAULT_PORT: Final = 4222


@dataclass(frozen=True, slots=True)
class NatsAddress:
    """The servers of a NATS cluster, and what they ask for.

    Attributes:
        servers: the URLs without user and password.
        is_encrypted: whether a server that does not offer TLS is refused.
        user: the user, or the token if there is no password.
        files: the paths of `credentials`, `nkey_seed` and `tls_ca` that are named.
    """

    servers: tuple[str, ...]
    is_encrypted: bool
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    files: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read a URL, or several separated by commas.

            nats://host:4222                    tls://user:password@a.example,tls://b.example
            nats://token@host                   tls://host?credentials=/run/secrets/nats.creds

        `tls://` refuses a server without TLS. Parameters name files: `credentials` and `nkey_seed`
        log in, `tls_ca` has the certificate authorities.

        Raises:
            ConfigError: the text is not such a URL; the message does not contain it.
        """
        text, _, query = url.partition("?")
        parts = [urlsplit(part.strip()) for part in text.split(",")]
        files = dict(parse_qsl(query))
        try:
            addresses = [(part.hostname, part.port or _DEFAULT_PORT) for part in parts]
        except ValueError:
            addresses = [(None, 0)]
        if (
            not all(host for host, _ in addresses)
            or {part.scheme for part in parts} - {*_SCHEMES}
            or any(part.path.strip("/") for part in parts)
        ):
            raise ConfigError(
                "the URL of NATS must be nats://HOST:PORT or tls://HOST:PORT, several of them "
                "separated by commas"
            )
        if unknown := sorted(files.keys() - {*_FILES}):
            raise ConfigError(
                f"the URL of NATS has the parameter {unknown[0]!r}; "
                f"the parameters are {', '.join(_FILES)}"
            )
        owner = next((part for part in parts if part.username is not None), parts[0])
        return cls(
            servers=tuple(
                f"{part.scheme}://{_bracketed(str(host))}:{port}"
                for part, (host, port) in zip(parts, addresses, strict=True)
            ),
            is_encrypted=any(part.scheme == "tls" for part in parts),
            user=None if owner.username is None else unquote(owner.username),
            password=None if owner.password is None else unquote(owner.password),
            files=files,
        )

    @property
    def name(self) -> str:
        """The servers, for logs."""
        return ",".join(self.servers)

    def options(self, client: Client, tls: ssl.SSLContext | None) -> dict[str, Any]:
        """What `connect` of the client needs to be let in. Blocks: it reads the files.

        Args:
            tls: used instead of the file `tls_ca`.

        Raises:
            OSError: a file cannot be read.
            ValueError: a file does not contain what it should.
            ImportError: the package nkeys is needed, and not installed.
        """
        options: dict[str, Any] = {}
        if tls is None and (self.is_encrypted or "tls_ca" in self.files):
            tls = ssl.create_default_context(cafile=self.files.get("tls_ca"))
        if tls is not None:
            options["tls"] = tls
        if "credentials" in self.files:
            options["user_credentials"] = _read_credentials(self.files["credentials"])
        elif "nkey_seed" in self.files:
            options["nkeys_seed_str"] = _read_seed(self.files["nkey_seed"])
        elif self.user is not None:
            secrets = {"token": self.user}
            if self.password is not None:
                secrets = {"user": self.user, "password": self.password}
            # Functions: nats-py asks for them only when it knows what the server offers.
            for option, secret in secrets.items():
                options[option] = lambda secret=secret: self._unless_readable(client, secret)
        return options

    def check_encryption(self, client: Client) -> None:
        """Refuse a server that does not offer TLS although the URL says `tls://`.

        Raises:
            nats.errors.Error: it does not.
        """
        from nats.errors import SecureConnRequiredError  # noqa: PLC0415 - an extra

        if self.is_encrypted and not client._server_info.get("tls_required", False):  # noqa: SLF001
            raise SecureConnRequiredError

    def _unless_readable(self, client: Client, secret: str) -> str:
        self.check_encryption(client)
        return secret


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _read_seed(path: str) -> str:
    nkeys: Any = import_module("nkeys")
    text = Path(path).read_text(encoding="ascii").strip()
    try:
        nkeys.from_seed(bytearray(text.encode()))
    except nkeys.NkeysError:
        raise ValueError(f"{path} does not contain the seed of an nkey") from None
    return text


def _read_credentials(path: str) -> object:
    text = Path(path).read_text(encoding="ascii")
    import_module("nkeys")
    if "BEGIN USER NKEY SEED" not in text or "BEGIN NATS USER JWT" not in text:
        raise ValueError(f"{path} does not contain the credentials of a user of NATS")
    return import_module("nats.aio.client").RawCredentials(text)
