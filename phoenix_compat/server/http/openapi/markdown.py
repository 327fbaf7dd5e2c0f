"""Writes docs/http-api.md: the HTTP API for people, from the descriptions of its routes.

The command is in the first line of the page; a test compares the page with what it prints.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Final

from phoenix_compat.server.http.openapi import problems
from phoenix_compat.server.http.openapi.described import Answer, Example, Route
from phoenix_compat.server.http.openapi.document import (
    ABOUT,
    JSON_TYPE,
    TAGS,
    Document,
    openapi_document,
)
from phoenix_compat.server.http.openapi.problems import PROBLEMS
from phoenix_compat.server.http.openapi.routes import ROUTES, WEBHOOKS

BASE_URL: Final = "http://127.0.0.1:4000"
COMMAND: Final = "phoenix-compat openapi --format markdown > docs/http-api.md"

_REFERENCE: Final = "#/components/schemas/"


def http_api_page() -> str:
    """The page as Markdown."""
    parts = (_head(), _routes(), _webhooks(), _problems(), _schemas(openapi_document()))
    return "\n".join(line for part in parts for line in part)


def _head() -> Iterator[str]:
    yield (
        "<!-- A command writes this page from the descriptions of the routes. Change those, then:\n"
        f"{COMMAND} -->\n"
    )
    yield f"# The HTTP API\n\n{ABOUT}\n"
    yield (
        "Each server has the same for programs, at `GET /openapi.json`, and as a page to try it "
        "out, at `/docs`.\n[tasks.md](tasks.md) explains what tasks do.\n"
    )
    yield "| request | |\n|---|---|"
    for route in ROUTES:
        yield f"| `{route.method} {route.path}` | [{route.summary}](#{_anchor(route.summary)}) |"
    yield ""


def _anchor(heading: str) -> str:
    kept = "".join(char for char in heading.lower() if char.isalnum() or char in " -_")
    return kept.replace(" ", "-")


def _routes() -> Iterator[str]:
    paths = openapi_document()["paths"]
    for tag, text in TAGS.items():
        yield f"## {tag.capitalize()}\n\n{text}\n"
        for route in ROUTES:
            if route.tag == tag:
                yield from _route(route, paths[route.path][route.method.lower()])


def _webhooks() -> Iterator[str]:
    yield "## Webhooks\n\nRequests that this server sends to other backends.\n"
    for one in WEBHOOKS:
        yield from _route(one, openapi_document()["webhooks"][one.path][one.method.lower()])


def _route(route: Route, operation: Mapping[str, Any]) -> Iterator[str]:
    path = route.path if route.path.startswith("/") else "YOUR-URL"
    yield f"### {route.summary}\n\n`{route.method} {path}`"
    if "description" in operation:
        yield f"\n{operation['description']}"
    if "parameters" in operation:
        yield "\n| parameter | in | |\n|---|---|---|"
        for one in operation["parameters"]:
            required = "**required.** " if one.get("required") else ""
            text = _cell(f"{required}{one['description']}")
            yield f"| `{one['name']}` | {one['in']} | {text} ({_shape(one['schema'])}) |"
    if "requestBody" in operation:
        body = operation["requestBody"]
        yield f"\nBody: {', '.join(_contents(body['content']))}. {body['description']}"
    if route.example is not None:
        yield from _example(route, route.example)
    yield "\n| answer | |\n|---|---|"
    for answer in route.answers:
        yield f"| {answer.status} | {_answer(answer, operation)} |"
    for word in sorted(route.problems, key=lambda word: PROBLEMS[word].status):
        yield _problem(word)
    if route.is_guarded:
        yield "\nAnd the [errors of every route](#errors-of-every-route)."
    yield ""


def _answer(answer: Answer, operation: Mapping[str, Any]) -> str:
    content = operation["responses"][str(answer.status)].get("content", {})
    kinds = {name: one for name, one in content.items() if not name.endswith("problem+json")}
    headers = "".join(f", `{name}`" for name in answer.headers)
    headers += "".join(f", perhaps `{name}`" for name in answer.optional_headers)
    contents = ", ".join(_contents(kinds)) or "no body"
    return f"{answer.text} {contents[:1].upper()}{contents[1:]}{headers}"


def _contents(content: Mapping[str, Any]) -> Iterator[str]:
    for name, one in content.items():
        yield _shape(one["schema"]) if name == JSON_TYPE and one["schema"] else f"`{name}`"
        for event, schema in one.get("x-events", {}).items():
            yield f"`{event}` with {_shape(schema)}"


def _example(route: Route, example: Example) -> Iterator[str]:
    lines = [" ".join(_curl(route, example))]
    for name, value in example.headers.items():
        lines.append(f'-H "{name}: {value}"')
    if example.body is not None:
        lines.append('-H "Content-Type: application/json"')
        lines.append(f"-d {shlex.quote(json.dumps(example.body, ensure_ascii=False))}")
    command = " \\\n    ".join(lines)
    yield f"\n```console\n$ {command}\n```"
    if example.answer is not None:
        answer = json.dumps(example.answer, indent=2, ensure_ascii=False)
        yield f"\nThe answer is {example.status}:\n\n```json\n{answer}\n```"


def _curl(route: Route, example: Example) -> Iterator[str]:
    yield "curl -sS"
    if route.method != "GET" and example.body is None:
        yield f"-X {route.method}"
    if example.file is not None:
        yield f"--data-binary @{example.file}"
    if example.save_as is not None:
        yield f"-o {example.save_as}"
    url = BASE_URL + example.path
    yield f'"{url}"' if set("?&=") & set(url) else url


def _problem(word: str) -> str:
    kind = PROBLEMS[word]
    header = "" if kind.header is None else f" With `{kind.header}`."
    return f"| {kind.status} | `{word}`: {kind.text}{header} |"


def _problems() -> Iterator[str]:
    problem = _shape({"$ref": f"{_REFERENCE}Problem"})
    yield f"## Errors of every route\n\nThe document is a {problem}; its `type` ends with the word."
    for text, words in (
        ("Every route but `/healthz` and `/readyz`", problems.GUARDED),
        ("Every route under `/api`", problems.API),
        ("Every route under `/api` that changes something", problems.CHANGES),
        ("A method that a path under `/api` does not have", ("method-not-allowed",)),
    ):
        yield f"\n{text}:\n\n| answer | |\n|---|---|"
        yield from map(_problem, words)
    yield ""


def _schemas(document: Document) -> Iterator[str]:
    yield (
        "## Schemas\n\nA `?` marks keys that may be missing. Later versions may send further keys."
    )
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield f"\n### {name}\n"
        if "description" in schema:
            yield f"{schema['description']}\n"
        yield "| key | | |\n|---|---|---|"
        yield from _keys(schema)
    yield ""


def _keys(schema: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, inner in schema["properties"].items():
        mark = "" if key in schema.get("required", ()) else "?"
        text = _cell(inner.get("description", ""))
        yield f"| `{prefix}{key}`{mark} | {_shape(inner)} | {text} |"
        if "properties" in inner:
            yield from _keys(inner, f"{prefix}{key}.")


def _shape(schema: Mapping[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REFERENCE)
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_shape(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = schema.get("type", "any JSON")
    if kind == "array":
        return f"array of {_shape(schema['items'])}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_shape(schema['additionalProperties'])}"
    name = " or ".join(kind) if isinstance(kind, list) else str(kind)
    return ", ".join((schema.get("format", name), *_bounds(schema)))


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    for low, high, unit in (("minimum", "maximum", ""), ("minLength", "maxLength", " characters")):
        if low in schema and high in schema:
            yield f"{schema[low]} to {schema[high]}{unit}"
        elif low in schema and schema[low] != 1:
            yield f"at least {schema[low]}{unit}"
        elif high in schema:
            yield f"at most {schema[high]}{unit}"
    if "default" in schema and schema["default"] != schema.get("maximum"):
        yield f"{schema['default']} if missing"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
