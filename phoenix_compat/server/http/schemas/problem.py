"""The problem documents of refused requests: RFC 9457."""

from __future__ import annotations

from pydantic import Field

from phoenix_compat.server.http.schemas.answer import Answer


class InvalidField(Answer):
    """One field of a request that is not accepted."""

    field: str = Field(
        description='A path into the body ("input_data.prompt"), a header, or a query parameter.'
    )
    detail: str = Field(description="What is wrong with it, for people.")


class Problem(Answer):
    """Why a request was refused."""

    type: str = Field(
        pattern=r"^urn:phoenix-compat:problem:[a-z]+(-[a-z]+)*$",
        description="Tells problems apart, for programs; its last word is stable.",
    )
    title: str = Field(description="The phrase of the status.")
    status: int = Field(ge=400, le=599, description="The status of the answer.")
    detail: str = Field(description="A sentence for people; it may change.")
    field: str | None = Field(default=None, description="The first of `errors`.")
    errors: list[InvalidField] | None = Field(
        default=None, description="The fields that are not accepted, if it is about fields."
    )
