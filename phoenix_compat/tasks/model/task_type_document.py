"""Describes task types for clients: their inputs, their models and their results. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from phoenix_compat.tasks.model.inputs.input_checks import MAX_PROMPT_CHARS
from phoenix_compat.tasks.model.inputs.input_spec import InputKind, InputSpec, guessed_spec
from phoenix_compat.tasks.model.model_policy import ModelPolicy
from phoenix_compat.tasks.model.models import estimated_cost_usd
from phoenix_compat.tasks.model.task import JSONObject
from phoenix_compat.tasks.model.task_types import RESULTS, TaskType

_RESULT_NAMES: Final = {function: name for name, function in RESULTS.items()}


def task_types_document(task_types: Mapping[str, TaskType], policy: ModelPolicy) -> JSONObject:
    """What clients may ask for.

        {"task_types": [{"type", "task_type", "default_model", "models": [{"model", "inputs",
          "price_usd"?}], "inputs": [{"name", "kind", "required", …}], "result", "streams",
          "takes_files", "deadline_s"?}], "allowed_models": ["google/*", …]}

    A model that the operator does not allow is left out, and so is a type that has no other.
    """
    described = (_described(name, one, policy) for name, one in task_types.items())
    return {
        "task_types": [one for one in described if one["models"]],
        "allowed_models": list(policy.patterns),
    }


def _described(name: str, task_type: TaskType, policy: ModelPolicy) -> JSONObject:
    specs = tuple(_specs(task_type))
    names = (task_type.default_model, *task_type.fallback_models, *task_type.models)
    document: JSONObject = {
        "type": name,
        "task_type": task_type.name,
        "default_model": task_type.default_model,
        "models": [
            _model(model, task_type, specs)
            for model in dict.fromkeys(names)
            if policy.allows(model) and not _lacks_price(model, task_type, policy)
        ],
        "inputs": [_input(spec, task_type) for spec in specs],
        "result": _RESULT_NAMES[task_type.result],
        "streams": task_type.writes_text,
        "takes_files": any(spec.kind.is_file for spec in specs),
    }
    if task_type.deadline_s is not None:
        document["deadline_s"] = task_type.deadline_s
    return document


def _specs(task_type: TaskType) -> Iterator[InputSpec]:
    """The inputs of a type, those that it requires first."""
    known = {spec.name: spec for spec in task_type.inputs}
    required = (*task_type.required_inputs, *(("prompt",) if task_type.needs_prompt else ()))
    for name in required:
        yield known.pop(name) if name in known else guessed_spec(name)
    yield from known.values()


def _price(model: str, task_type: TaskType) -> float | None:
    if model == task_type.default_model and task_type.price_usd is not None:
        return task_type.price_usd
    defaults = {spec.name: spec.default for spec in task_type.inputs if spec.default is not None}
    family = task_type.family(model)
    provider_input = {
        target: family.written(target, value)
        for name, value in defaults.items()
        if (target := family.target(name)) is not None
    }
    return estimated_cost_usd(model, provider_input)


def _lacks_price(model: str, task_type: TaskType, policy: ModelPolicy) -> bool:
    return policy.rules.needs_price and _price(model, task_type) is None


def _model(model: str, task_type: TaskType, specs: tuple[InputSpec, ...]) -> JSONObject:
    family = task_type.family(model)
    document: JSONObject = {
        "model": model,
        "inputs": [spec.name for spec in specs if family.target(spec.name) is not None],
    }
    price = _price(model, task_type)
    return document if price is None else {**document, "price_usd": price}


def _input(spec: InputSpec, task_type: TaskType) -> JSONObject:
    is_prompt = spec.name == "prompt"
    is_required = spec.name in task_type.required_inputs or (is_prompt and task_type.needs_prompt)
    document: JSONObject = {
        "name": spec.name,
        "kind": spec.kind.value,
        "required": is_required,
    }
    if spec.description:
        document["description"] = spec.description
    if spec.default is not None:
        document["default"] = spec.default
    if spec.choices:
        document["choices"] = list(spec.choices)
    if spec.minimum is not None:
        document["minimum"] = spec.minimum
    if spec.maximum is not None:
        document["maximum"] = spec.maximum
    if spec.kind is InputKind.TEXT:
        document["max_length"] = MAX_PROMPT_CHARS
    if spec.kind.is_file:
        document["many"] = spec.many
    return document
