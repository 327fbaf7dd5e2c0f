"""The catalog of models."""

from __future__ import annotations

import pytest

from phoenix_compat.emulator.predictions.catalog import (
    MODELS,
    find_model,
    model_of_version,
    official_model,
)
from phoenix_compat.emulator.predictions.model import Model, OutputShape
from phoenix_compat.emulator.predictions.model_input import check_input
from phoenix_compat.emulator.problem import ProblemError

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "name",
    [model.full_name for model in MODELS if model.is_official],
)
def test_official_models_need_no_version(name: str) -> None:
    """The models route and POST /predictions both find them."""
    model = official_model(*name.split("/"))

    assert model_of_version(name) == (model, "hidden")


def test_popular_models_are_in_the_catalog() -> None:
    """The catalog has the popular image models and every output shape."""
    names = {model.full_name for model in MODELS}

    assert names >= {
        "google/imagen-4-fast",
        "google/imagen-4",
        "google/imagen-4-ultra",
        "google/nano-banana",
        "google/nano-banana-2",
        "black-forest-labs/flux-schnell",
        "black-forest-labs/flux-dev",
        "black-forest-labs/flux-1.1-pro",
        "stability-ai/sdxl",
        "recraft-ai/recraft-v3",
    }
    assert {model.output for model in MODELS} == set(OutputShape)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.full_name)
def test_the_defaults_are_valid(model: Model) -> None:
    """An input of the defaults and the required fields is valid."""
    given = {f.name: f.default for f in model.fields if f.default is not None}
    given |= {f.name: "x" for f in model.fields if f.is_required}

    assert check_input(model.fields, given, is_closed=True) == []


def test_a_community_model_has_no_models_route() -> None:
    """SDXL exists, but without a version it is 404 there and 422 on POST /predictions."""
    assert find_model("stability-ai", "sdxl").is_official is False
    with pytest.raises(ProblemError, match="404"):
        official_model("stability-ai", "sdxl")
    with pytest.raises(ProblemError, match="422"):
        model_of_version("stability-ai/sdxl")


def test_any_version_of_any_owner_runs() -> None:
    """An unknown `owner/name:<64 hex>` keeps its name and returns lists of pictures."""
    model, version = model_of_version(f"someone/something:{HEX}")

    assert (model.full_name, version) == ("someone/something", HEX)
    assert model.output is OutputShape.URI_LIST


def test_a_bare_version_runs() -> None:
    """A known version finds its model, an unknown one gives a community model."""
    sdxl = find_model("stability-ai", "sdxl")

    assert model_of_version(sdxl.version_id)[0] is sdxl
    assert model_of_version(HEX)[0].owner == "community"


@pytest.mark.parametrize(
    "text", ["", "nobody/nothing", "imagen", HEX[:-1], f"a/b:{HEX[:-1]}", "a/"]
)
def test_invalid_versions_are_refused(text: str) -> None:
    """Unknown names and truncated versions give 422."""
    with pytest.raises(ProblemError, match="422"):
        model_of_version(text)


def test_an_unknown_model_is_404() -> None:
    """A name that is not in the catalog gives 404."""
    with pytest.raises(ProblemError, match="404"):
        find_model("google", "imagen-9")


def test_the_document_has_the_schemas() -> None:
    """GET /models has Input and Output at the same place as the real API."""
    document = find_model("google", "imagen-4-fast").document(origin="http://emu", created_at="now")

    schemas = document["latest_version"]["openapi_schema"]["components"]["schemas"]
    assert schemas["Output"] == {"title": "Output", "type": "string", "format": "uri"}
    assert "prompt" in schemas["Input"]["properties"]
    assert len(document["latest_version"]["id"]) == 64
