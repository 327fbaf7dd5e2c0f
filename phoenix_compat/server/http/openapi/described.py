"""How a route is described, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from phoenix_compat.server.auth.principal import Scope

JSON_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a route that is not a problem document.

    Attributes:
        text: what it means.
        model: its JSON; None if it has no JSON.
        content_types: the types of its body, if it is not JSON; () for no body.
        headers: names of headers in `headers.HEADERS` that it always has.
        optional_headers: those that it may have.
        events: the data of the events of a text/event-stream, by their names.
        links: the routes for which it has the parameters, by the routes' names: where the answer
            has the value of each parameter.
    """

    status: int
    text: str
    model: type[BaseModel] | None = None
    content_types: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    optional_headers: tuple[str, ...] = ()
    events: Mapping[str, type[BaseModel]] = field(default_factory=dict)
    links: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter in the path, a header of the request, or a part of the query.

    Attributes:
        place: where it stands.
        schema: a JSON schema.
    """

    name: str
    place: Literal["path", "header", "query"]
    text: str
    schema: Mapping[str, Any]
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a request.

    Attributes:
        text: what it is.
        models: its JSON, in one of these forms; () if it is not JSON.
        content_types: its types with their schemas, if it is not JSON.
    """

    text: str
    models: tuple[type[BaseModel], ...] = ()
    content_types: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A request and its answer; a test sends it.

    Attributes:
        path: with the query.
        body: JSON to send; None for none.
        file: the name of a file to send; None for none.
        save_as: the name of the file for the answer, if it is not JSON.
        answer: the JSON of the answer; None if it is not JSON.
    """

    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    file: str | None = None
    save_as: str | None = None
    status: int = 200
    answer: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A method of a path.

    Attributes:
        name: the operation's id, for programs that are generated from the document.
        tag: the group that it belongs to; see `document.TAGS`.
        summary: a few words.
        text: what it does, as Markdown.
        scope: what a credential must allow; None if it needs no scope.
        needs_credential: whether it needs a credential although it needs no scope.
        is_guarded: whether the Host of the request is checked.
        query: the model of the query.
        problems: words of `problems.PROBLEMS`, besides those that every route under /api has.
        example: None if clients do not send such requests; the reason is in `text`.
    """

    method: Literal["GET", "POST", "DELETE", "PUT"]
    path: str
    name: str
    tag: str
    summary: str
    text: str = ""
    scope: Scope | None = None
    needs_credential: bool = False
    is_guarded: bool = True
    parameters: tuple[Parameter, ...] = ()
    query: type[BaseModel] | None = None
    body: Body | None = None
    answers: tuple[Answer, ...]
    problems: tuple[str, ...] = ()
    example: Example | None = None
