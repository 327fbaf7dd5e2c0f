"""Every file of the vectors has the form that its schema says."""

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
    **{f"data/{name}.json": "data" for name in DATA},
}


def check(document: Any, schema: str) -> None:
    """Raise where the document differs from the schema, or the schema is none."""
    found = read_vectors(f"schema/{schema}.schema.json")
    jsonschema.Draft202012Validator.check_schema(found)
    jsonschema.Draft202012Validator(found).validate(document)


@pytest.mark.parametrize(("name", "schema"), FILES.items())
def test_a_file_has_the_form_of_its_schema(name: str, schema: str) -> None:
    """The schema accepts the file; a file that was not recorded names the schema itself."""
    document = read_vectors(name)

    check(document, schema)

    named = document.get("$schema", f"schema/{schema}.schema.json").removeprefix("../")
    assert named == f"schema/{schema}.schema.json"


def test_every_file_is_checked() -> None:
    """No file of the vectors is left out above."""
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
def test_a_file_of_another_form_is_refused(schema: str, document: Any) -> None:
    """The schemas can say no."""
    with pytest.raises(jsonschema.ValidationError):
        check(document, schema)


def test_profiles_are_those_of_the_schemas() -> None:
    """A new profile must be added to the schemas, too."""
    assert read_vectors("schema/cases.schema.json")["$defs"]["difference"]["properties"][
        "profiles"
    ]["items"]["enum"] == list(profiles())
