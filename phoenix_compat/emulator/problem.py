"""Replicate's error responses as values, in the format of the real API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from phoenix_compat.emulator.json_type import JsonObject
from phoenix_compat.errors import PhoenixCompatError


@dataclass(frozen=True, slots=True)
class InvalidField:
    """One error in a request body.

    Attributes:
        type: `required`, `invalid_type`, `enum`, `number_lte`, `number_gte`,
            `additional_property_not_allowed`.
        field: a dotted path such as `input.aspect_ratio`; empty for the body itself.
        description: the message for people.
    """

    type: str
    field: str
    description: str

    @property
    def line(self) -> str:
        """The error as a line of the problem's `detail`."""
        return f"- {self.field}: {self.description}" if self.field else f"- {self.description}"


class ProblemError(PhoenixCompatError):
    """Ends a request with this status and an `application/problem+json` body.

    Attributes:
        status: the HTTP status.
        body: the problem document.
        headers: additional response headers.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        title: str | None = None,
        headers: Mapping[str, str] | None = None,
        **extra: object,
    ) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.headers = dict(headers or {})
        self.body: JsonObject = {"title": title} if title else {}
        self.body |= {"detail": detail, "status": status, **extra}


def unauthenticated() -> ProblemError:
    """401 for a request without a valid token."""
    return ProblemError(
        401, "You did not pass a valid authentication token", title="Unauthenticated"
    )


def not_found() -> ProblemError:
    """404 for anything that does not exist."""
    return ProblemError(404, "The requested resource could not be found.")


def too_large(limit_bytes: int) -> ProblemError:
    """413 for a body or a file above the limit."""
    return ProblemError(
        413, f"The request body exceeds {limit_bytes} bytes.", title="Request entity too large"
    )


def invalid_input(invalid: Sequence[InvalidField]) -> ProblemError:
    """422 that names each invalid field."""
    return ProblemError(
        422,
        "".join(f"{field.line}\n" for field in invalid),
        title="Input validation failed",
        invalid_fields=[asdict(field) for field in invalid],
    )


def invalid_request(detail: str) -> ProblemError:
    """422 for an invalid header, query or fault name."""
    return ProblemError(422, detail, title="Invalid request")


def version_unknown() -> ProblemError:
    """422 for a version that does not exist or may not be used."""
    return ProblemError(
        422,
        "The specified version does not exist (or perhaps you don't have permission to use it?)",
        title="Invalid version or not permitted",
    )


def version_disabled() -> ProblemError:
    """422 for a model that Replicate has disabled."""
    return ProblemError(
        422,
        "This version has been disabled because it consistently fails to complete setup.",
        title="Version disabled",
    )


def throttled(wait_s: int) -> ProblemError:
    """429 with the delay in the text, in `retry_after` and in the `Retry-After` header."""
    return ProblemError(
        429,
        f"Request was throttled. Your rate limit resets in ~{wait_s}s.",
        headers={"Retry-After": str(wait_s)},
        retry_after=wait_s,
    )
