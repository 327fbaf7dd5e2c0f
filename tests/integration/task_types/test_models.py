"""What the packaged task types send is what the emulated models take."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from phoenix_compat.emulator.predictions.catalog import MODELS
from phoenix_compat.emulator.predictions.model_input import check_input
from phoenix_compat.tasks.model.task_types import determine_task_params
from phoenix_compat.tasks.model.task_types_file import packaged_task_types

TYPES = packaged_task_types()
CATALOG = {model.full_name: model for model in MODELS}
FILE = "https://pictures.example/a"
INPUTS: Mapping[str, Mapping[str, object]] = {
    "edit": {"prompt": "a", "image": FILE},
    "upscale": {"image": FILE},
    "remove_background": {"image": FILE},
    "describe": {"image": FILE},
    "transcribe": {"audio": FILE, "language": "de", "prompt": "Ada"},
    "chat": {"prompt": "a", "temperature": 0.5},
    "video": {"prompt": "a", "image": FILE, "duration": 5},
    "audio": {"text": "a", "voice_id": "Deep_Voice_Man"},
}


def models_of(type_: str) -> tuple[str, ...]:
    task_type = TYPES[type_]
    return (task_type.default_model, *task_type.fallback_models, *task_type.models)


@pytest.mark.parametrize(
    ("type_", "model"), [(type_, model) for type_ in INPUTS for model in models_of(type_)]
)
def test_a_model_gets_only_what_it_takes(type_: str, model: str) -> None:
    """Also a fallback model, with the defaults of the type: no input is unknown or invalid."""
    params = determine_task_params({"type": type_, "model": model, **INPUTS[type_]}, TYPES)

    known = CATALOG[model]
    assert check_input(known.fields, params.provider_input, is_closed=True) == []
    assert known.files(params.provider_input) == (() if type_ in {"chat", "audio"} else (FILE,))


@pytest.mark.parametrize("type_", INPUTS)
def test_an_input_with_choices_sends_valid_values(type_: str) -> None:
    """Every choice that a form offers is one that the default model takes."""
    model = CATALOG[TYPES[type_].default_model]
    for spec in TYPES[type_].inputs:
        for choice in spec.choices:
            posted = {"type": type_, **INPUTS[type_], spec.name: choice}
            params = determine_task_params(posted, TYPES)

            assert check_input(model.fields, params.provider_input, is_closed=True) == []
