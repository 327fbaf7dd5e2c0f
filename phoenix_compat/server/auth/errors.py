"""Why a client is not let in. The texts are for the client and name no secret."""

from __future__ import annotations

from phoenix_compat.errors import PhoenixCompatError


class UnauthorizedError(PhoenixCompatError):
    """There is no credential, or the credential is not accepted."""


class BadOwnerError(PhoenixCompatError):
    """The owner that a client named cannot be one."""


class AuthUnavailableError(PhoenixCompatError):
    """A credential cannot be checked at the moment; it may be good."""
