"""The OpenAPI document is valid, complete in itself, and names every problem of the source code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.server.http.openapi.described import Route
from phoenix_compat.server.http.openapi.document import TAGS, openapi_document, problem_words
from phoenix_compat.server.http.openapi.headers import HEADERS
from phoenix_compat.server.http.openapi.problems import API, CHANGES, GUARDED, PROBLEMS
from phoenix_compat.server.http.openapi.routes import ROUTES
from phoenix_compat.server.http.openapi.serving import OPENAPI_PATH
from phoenix_compat.server.http.problem import ProblemError
from phoenix_compat.server.http.schemas.problem import Problem
from tests.unit.server.http.openapi.problem_words import sources, words_of

MAX_BYTES = 300_000

by_route = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)


def test_the_document_is_openapi_3_1() -> None:
    """It passes the validator, and its references lead somewhere."""
    OpenAPIV31SpecValidator(openapi_document()).validate()


def test_the_document_is_small() -> None:
    """It can be read by people, and sent to them."""
    assert len(json.dumps(openapi_document())) < MAX_BYTES


def test_names_are_unique() -> None:
    """No two routes have the same name or summary, or the same method and path."""
    assert len({route.summary for route in ROUTES}) == len(ROUTES)
    assert len({route.name for route in ROUTES}) == len(ROUTES)
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)


@by_route
def test_a_route_uses_known_words(route: Route) -> None:
    """Its tag, headers and problems are in their tables, and its path has its parameters."""
    headers = {name for one in route.answers for name in (*one.headers, *one.optional_headers)}
    named = {one.name for one in route.parameters if one.place == "path"}

    assert route.tag in TAGS
    assert headers <= set(HEADERS)
    assert set(route.problems) <= set(PROBLEMS)
    assert named == {part[1:-1] for part in route.path.split("/") if part.startswith("{")}


@by_route
def test_an_example_matches_its_models(route: Route) -> None:
    """The body and the answer of an example are what the route takes and gives."""
    example = route.example
    if example is None:
        assert route.text, "say why there is no example"
        return
    if example.body is not None and route.body is not None:
        route.body.models[0].model_validate(example.body)
    answers = [one for one in route.answers if one.status == example.status]
    model = answers[0].model
    if model is not None and example.answer is not None:
        found = model.model_validate_json(json.dumps(example.answer))
        assert found.model_dump(exclude_unset=True) == example.answer


def test_every_scope_is_one_of_ours() -> None:
    """The document names scopes as credentials have them."""
    for operation in operations():
        for requirement in operation["security"]:
            assert set(requirement.get("bearer", ())) <= {str(scope) for scope in Scope}


def test_the_document_describes_itself() -> None:
    """Its own path is in it."""
    assert OPENAPI_PATH in openapi_document()["paths"]


def test_every_word_of_a_problem_is_in_the_table() -> None:
    """The words in the source code are those of PROBLEMS, with their statuses."""
    found = {word: status for path in sources() for word, status in words_of(path)}

    assert found.keys() == PROBLEMS.keys()
    statuses = {word: status for word, status in found.items() if status is not None}
    assert statuses == {word: PROBLEMS[word].status for word in statuses}


def test_every_word_of_the_table_belongs_to_a_route() -> None:
    """No problem is described that no route sends; 405 is sent where there is no route."""
    used = {word for route in ROUTES for word in problem_words(route)}

    assert used == PROBLEMS.keys() - {"method-not-allowed"}
    assert {*API, *CHANGES, *GUARDED} <= used


def test_a_problem_document_matches_its_model() -> None:
    """With and without fields."""
    for errors in ((), (("input_data.prompt", "is required"),)):
        response = ProblemError(422, "invalid-input", "No.", errors=errors).response()

        found = Problem.model_validate_json(response.text or "")

        assert found.model_dump(exclude_unset=True) == json.loads(response.text or "")


def operations() -> Iterator[dict[str, Any]]:
    """The operations of the document."""
    for methods in openapi_document()["paths"].values():
        yield from methods.values()
