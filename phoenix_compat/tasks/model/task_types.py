"""The task types of task: a table from `input_data.type` to what is run and what comes of it.

A task type is a row, not a class: its words, its default model, its checks and its result. Rows
beyond
the first are written in TOML (see `kinds_file`). Nothing here talks to anyone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from phoenix_compat.bounded import TOO_DEEP, is_too_deep
from phoenix_compat.tasks.model.errors import InvalidInputError
from phoenix_compat.tasks.model.models import estimated_cost_usd, model_family
from phoenix_compat.tasks.model.output import Output
from phoenix_compat.tasks.model.task import JSONObject

MAX_PROMPT_CHARS = 10_000
MAX_TEXT_CHARS = 2_000
MAX_INPUTS = 64
"""Objects and lists of an input within each other; what reads it again goes through them all."""

# The provider's own rule is narrower for versions (64 hex digits); it says so itself.
_MODEL = re.compile(r"[a-z0-9][\w.-]{0,99}/[a-z0-9][\w.-]{0,99}(:[\w.-]{1,128})?", re.I | re.A)

# These steer the task and are no inputs of the model.
_STEERING = frozenset({"type", "model"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskType:
    """One row of the table.

    Attributes:
        task_type: the word clients see in `task_type`.
        default_model: the model that runs when `input_data.model` names none.
        result: what `result_data` says of an output; None when the output has nothing usable.
        deadline_s: how long a prediction of this task type may take; None leaves it to the worker.
        fallback_models: what runs, in this order, when the model cannot be had.
        needs_prompt: whether an order without a prompt is refused.
        required_inputs: further inputs that an order must have ("image" to upscale one).
        price_usd: an output's estimated price with the default model, for models that
            `models.MODEL_FAMILIES` does not know.
    """

    task_type: str
    default_model: str
    result: Callable[[Output], JSONObject | None]
    deadline_s: float | None = None
    fallback_models: tuple[str, ...] = ()
    needs_prompt: bool = True
    required_inputs: tuple[str, ...] = ()
    price_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskParams:
    """A checked order: all that the store needs to make a task."""

    type: str
    task_type: str
    model: str
    input_data: JSONObject
    provider_input: JSONObject
    fingerprint: str
    deadline_s: float | None = None
    estimated_cost_usd: float | None = None


def _image_result(output: Output) -> JSONObject | None:
    if not output.urls:
        return None
    return {"image_url": output.urls[0], "image_urls": list(output.urls)}


def _file_result(output: Output) -> JSONObject | None:
    return {"output_urls": list(output.urls)} if output.urls else None


def _text_result(output: Output) -> JSONObject | None:
    return {"text": output.text} if output.text.strip() else None


def _json_result(output: Output) -> JSONObject | None:
    return {**(_file_result(output) or {}), **(_text_result(output) or {})} or None


RESULTS: Mapping[str, Callable[[Output], JSONObject | None]] = {
    "image": _image_result,
    "file": _file_result,
    "text": _text_result,
    "json": _json_result,
}
"""What a task type may say of an output: `image_url` and `image_urls`, `output_urls`, `text`, or,
for
models that answer with an object, the last two as far as they are there."""

TASK_TYPES: Mapping[str, TaskType] = {
    "image": TaskType(
        task_type="image_gen", default_model="google/imagen-4-fast", result=_image_result
    ),
}


def with_default_model(
    task_types: Mapping[str, TaskType], type_: str, model: str, fallback_models: Sequence[str] = ()
) -> Mapping[str, TaskType]:
    """The same table with another default model, and what steps in for it, in one row.

    Raises:
        InvalidInputError: a model does not look like owner/name or owner/name:version.
    """
    row = dataclasses.replace(
        task_types[type_],
        default_model=checked_model(model, "default_model"),
        fallback_models=tuple(checked_model(name, "fallback_models") for name in fallback_models),
    )
    return {**task_types, type_: row}


def determine_task_params(
    input_data: object, task_types: Mapping[str, TaskType] = TASK_TYPES
) -> TaskParams:
    """What to run for `{"type": "image", "prompt": …, "model": …, "aspect_ratio": …, …}`.

    Inputs reach the model when its family takes them (see `models`); a null counts as absent.

    Raises:
        InvalidInputError: naming the field, as a path from the body ("input_data.prompt").
    """
    if not isinstance(input_data, dict):
        raise InvalidInputError("input_data", "must be an object")
    if is_too_deep(input_data):
        raise InvalidInputError("input_data", TOO_DEEP)
    type_ = _checked_type(input_data, task_types)
    task_type = task_types[type_]
    model = input_data.get("model")
    name = task_type.default_model if model is None else checked_model(model, "input_data.model")
    provider_input = _provider_input(input_data, task_type, name)
    return TaskParams(
        type=type_,
        task_type=task_type.task_type,
        model=name,
        input_data=input_data,
        provider_input=provider_input,
        fingerprint=fingerprint(name, provider_input),
        deadline_s=task_type.deadline_s,
        estimated_cost_usd=_estimate(task_type, name, provider_input),
    )


def fingerprint(model: str, provider_input: Mapping[str, object]) -> str:
    """A name for "this model with this input": 64 hex digits.

    The version is left out, because the provider lists predictions by the model's bare name.
    """
    order = [model.partition(":")[0].lower(), _canonical(provider_input)]
    text = json.dumps(order, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: object) -> object:
    # 1.0 and 1 are one number in JSON, and the provider may answer either.
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return value


def _checked_type(input_data: JSONObject, task_types: Mapping[str, TaskType]) -> str:
    type_ = input_data.get("type")
    known = ", ".join(sorted(task_types))
    if type_ is None:
        raise InvalidInputError("input_data.type", f"is missing; known types: {known}")
    if not isinstance(type_, str) or type_ not in task_types:
        raise InvalidInputError("input_data.type", f"is no known type; known types: {known}")
    return type_


def checked_model(model: object, field: str) -> str:
    """The model's name without white space around it.

    Raises:
        InvalidInputError: `field` does not look like owner/name or owner/name:version.
    """
    if not isinstance(model, str) or not _MODEL.fullmatch(model.strip()):
        raise InvalidInputError(field, 'must look like "owner/name" or "owner/name:version"')
    return model.strip()


def _estimate(task_type: TaskType, model: str, provider_input: JSONObject) -> float | None:
    if model == task_type.default_model and task_type.price_usd is not None:
        return round(task_type.price_usd * model_family(model).outputs(provider_input), 6)
    return estimated_cost_usd(model, provider_input)


def _provider_input(input_data: JSONObject, task_type: TaskType, model: str) -> JSONObject:
    if len(input_data) > MAX_INPUTS:
        raise InvalidInputError("input_data", f"has more than {MAX_INPUTS} keys")
    family = model_family(model)
    chosen: JSONObject = {}
    if task_type.needs_prompt or input_data.get("prompt") is not None:
        chosen["prompt"] = _checked_prompt(input_data.get("prompt"))
    for name in task_type.required_inputs:
        if input_data.get(name) in (None, "", []):
            raise InvalidInputError(f"input_data.{name}", "is missing")
    for name, value in input_data.items():
        if name in _STEERING or name == "prompt" or value is None:
            continue
        _check_input(name, value)
        target = name if family.takes(name) else dict(family.renames).get(name)
        if target is not None:
            chosen.setdefault(target, value)
    return chosen


def _checked_prompt(prompt: object) -> str:
    field = "input_data.prompt"
    if prompt is None:
        raise InvalidInputError(field, "is missing")
    if not isinstance(prompt, str):
        raise InvalidInputError(field, "must be a string")
    text = prompt.strip()
    if not text:
        raise InvalidInputError(field, "must not be empty")
    if len(text) > MAX_PROMPT_CHARS:
        raise InvalidInputError(field, f"must have at most {MAX_PROMPT_CHARS} characters")
    return text


def _is_short_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_TEXT_CHARS


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_count(value: object) -> bool:
    return _is_whole(value) and value != 0


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


_A_TEXT = (_is_short_text, f"must be a string of 1 to {MAX_TEXT_CHARS} characters")
_A_WHOLE = (_is_whole, "must be a whole number, not negative")
_A_COUNT = (_is_count, "must be a whole number above 0")
_A_NUMBER = (_is_number, "must be a number")
_A_FLAG = (_is_flag, "must be true or false")

# Only types are checked here; the provider knows the values each model allows.
_CHECKS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "aspect_ratio": _A_TEXT,
    "output_format": _A_TEXT,
    "negative_prompt": _A_TEXT,
    "safety_filter_level": _A_TEXT,
    "seed": _A_WHOLE,
    "num_outputs": _A_COUNT,
    "num_inference_steps": _A_COUNT,
    "width": _A_COUNT,
    "height": _A_COUNT,
    "output_quality": _A_WHOLE,
    "guidance": _A_NUMBER,
    "guidance_scale": _A_NUMBER,
    "prompt_strength": _A_NUMBER,
    "go_fast": _A_FLAG,
}


def _check_input(name: str, value: object) -> None:
    check = _CHECKS.get(name)
    if check is not None and not check[0](value):
        raise InvalidInputError(f"input_data.{name}", check[1])
