"""Every vector file matches its schema."""

from __future__ import annotations

from importlib import resources
from typing import Any

import jsonschema
import pytest

from phoenix_compat.conformance.suite.catalog import profiles, read_vectors

DATA = ("auth_tokens", "origins", "presence", "queries", "serializer", "tokens", "vsn")
FILES = {
    "phoenix-1.8.json": "recording",
    "catalog.json": "catalog",
    "written.json": "cases",
    "profiles.json": "profiles",
    "clients.json": "clients",
    **{f"data/{name}.json": "data" for name in DATA},
}


def check(document: Any, schema: str) -> None:
    """Raise if the document does not match the schema, or the schema is not valid."""
    found = read_vectors(f"schema/{schema}.schema.json")
    jsonschema.Draft202012Validator.check_schema(found)
    jsonschema.Draft202012Validator(found).validate(document)


@pytest.mark.parametrize(("name", "schema"), FILES.items())
def test_a_file_matches_its_schema(name: str, schema: str) -> None:
    """The schema accepts the file; a file that was not recorded names its schema."""
    document = read_vectors(name)

    check(document, schema)

    named = document.get("$schema", f"schema/{schema}.schema.json").removeprefix("../")
    assert named == f"schema/{schema}.schema.json"


def test_every_file_is_checked() -> None:
    """FILES lists every vector file."""
    folder = resources.files("phoenix_compat.conformance") / "vectors"
    files = [file.name for file in folder.iterdir() if file.name.endswith(".json")]
    data = [f"data/{file.name}" for file in (folder / "data").iterdir()]

    assert {*files, *data} == set(FILES)


@pytest.mark.parametrize(
    ("schema", "document"),
    [
        ("recording", {"recorded_from": "x", "cases": [{"name": "a", "steps": [{"op": "jump"}]}]}),
        ("cases", {"cases": [{"id": "join/x", "recorded": False, "steps": [{"op": "open"}]}]}),
        ("catalog", {"recording": "x", "cases": [{"name": "a", "id": "join"}]}),
        ("data", {"about": "x", "source": "y", "recorded": True, "kind": "vsn", "cases": []}),
    ],
)
def test_invalid_documents_are_refused(schema: str, document: Any) -> None:
    """The schemas refuse invalid documents."""
    with pytest.raises(jsonschema.ValidationError):
        check(document, schema)


def test_profiles_are_those_of_the_schemas() -> None:
    """The schemas list the same profiles as profiles.json."""
    assert read_vectors("schema/cases.schema.json")["$defs"]["difference"]["properties"][
        "profiles"
    ]["items"]["enum"] == list(profiles())
