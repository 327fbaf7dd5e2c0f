"""Task types: what each `input_data.type` runs, how its input is checked, what its result is.

Only the type "image" is defined here; the others are in TOML files (see `task_types_file`). No I/O.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from phoenix_compat.bounded import TOO_DEEP, is_too_deep
from phoenix_compat.tasks.model.errors import InvalidInputError
from phoenix_compat.tasks.model.inputs.conversation import with_conversation
from phoenix_compat.tasks.model.inputs.file_inputs import UsedUpload, used_uploads
from phoenix_compat.tasks.model.inputs.input_checks import (
    checked_input,
    checked_prompt,
    is_checked,
)
from phoenix_compat.tasks.model.inputs.input_spec import InputKind, InputSpec
from phoenix_compat.tasks.model.models import (
    DEPLOYMENTS,
    UNKNOWN_FAMILY,
    ModelFamily,
    deployment_of,
    estimated_cost_usd,
    model_family,
)
from phoenix_compat.tasks.model.results.output import Output
from phoenix_compat.tasks.model.task import JSONObject

MAX_INPUTS = 64
"""The most keys that `input_data` may have."""

# The provider is stricter about versions (64 hex digits); its refusal says so.
_NAME = r"[a-z0-9][\w.-]{0,99}/[a-z0-9][\w.-]{0,99}"
_MODEL = re.compile(rf"{_NAME}(:[\w.-]{{1,128}})?|{DEPLOYMENTS}{_NAME}", re.I | re.A)

# Keys of `input_data` that are not inputs of the model.
_TASK_KEYS = frozenset({"type", "model"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskType:
    """How tasks of one `input_data.type` run.

    Attributes:
        name: what clients see in `task_type` ("image_gen").
        default_model: the model that runs when `input_data.model` is absent.
        result: makes `result_data` from an output; None when the output has nothing usable.
        deadline_s: how long a prediction may take; None means the worker's own limit.
        fallback_models: the models to try, in this order, when the model is unavailable.
        needs_prompt: whether a task without a prompt is refused.
        required_inputs: further inputs that a task must have ("image" for an upscaler).
        price_usd: estimated price of one output of the default model, for models that are
            not in `models.MODEL_FAMILIES`.
        inputs: what is known about its inputs, in the order in which a form shows them.
        models: further models that suit it. They are suggestions; the operator allows models.
        has_messages: whether `messages` is what was said before the prompt; see `conversation`.
        like: a model of `models.MODEL_FAMILIES` whose inputs models that are not there take.
    """

    name: str
    default_model: str
    result: Callable[[Output], JSONObject | None]
    deadline_s: float | None = None
    fallback_models: tuple[str, ...] = ()
    needs_prompt: bool = True
    required_inputs: tuple[str, ...] = ()
    price_usd: float | None = None
    inputs: tuple[InputSpec, ...] = ()
    models: tuple[str, ...] = ()
    has_messages: bool = False
    like: str | None = None

    def family(self, model: str) -> ModelFamily:
        """What is known about the inputs of a model when it runs this type."""
        family = model_family(model)
        if family is UNKNOWN_FAMILY and self.like is not None:
            return model_family(self.like)
        return family

    def sends_defaults(self, model: str) -> bool:
        """Whether a model gets the defaults of inputs; one that nobody knows might refuse them."""
        own = (self.default_model, *self.fallback_models, *self.models)
        return model in own or self.family(model) is not UNKNOWN_FAMILY

    @property
    def writes_text(self) -> bool:
        """Whether its result is a text, which clients can read while it is written."""
        return self.result is _text_result

    @property
    def makes_files(self) -> bool:
        """Whether its result is files, which clients can have one by one."""
        return self.result in {_image_result, _file_result}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskParams:
    """Validated input: all that the store needs to add a task.

    Attributes:
        uploads: the uploaded files that it uses, which must be those of the task's owner.
    """

    type: str
    task_type: str
    model: str
    input_data: JSONObject
    provider_input: JSONObject
    fingerprint: str
    deadline_s: float | None = None
    estimated_cost_usd: float | None = None
    uploads: tuple[UsedUpload, ...] = ()


class InputPolicy(Protocol):
    """What the operator allows of all that models accept; see `model_policy`."""

    def check(self, params: TaskParams) -> None:
        """Raises InvalidInputError for what is not allowed; it names the field."""
        ...


def _image_result(output: Output) -> JSONObject | None:
    if not output.urls:
        return None
    return {"image_url": output.urls[0], "image_urls": list(output.urls)}


def _file_result(output: Output) -> JSONObject | None:
    return {"output_urls": list(output.urls)} if output.urls else None


def _text_result(output: Output) -> JSONObject | None:
    if not output.text.strip():
        return None
    return {"text": output.text, **_truncated(output)}


def _json_result(output: Output) -> JSONObject | None:
    if output.value in (None, "", [], {}) and not output.is_truncated:
        return None
    result: JSONObject = {"output": output.value, **(_file_result(output) or {})}
    if output.text.strip():
        result["text"] = output.text
    return {**result, **_truncated(output)}


def _any_result(output: Output) -> JSONObject | None:
    result = _json_result(output)
    return result and {**result, **(_image_result(output) or {})}


def _truncated(output: Output) -> JSONObject:
    return {"truncated": True} if output.is_truncated else {}


RESULTS: Mapping[str, Callable[[Output], JSONObject | None]] = {
    "image": _image_result,
    "file": _file_result,
    "text": _text_result,
    "json": _json_result,
}
"""The forms of `result_data`: `image_url` and `image_urls` (image), `output_urls` (file), `text`
(text), or `output`, the model's value as it came, with `output_urls` and `text` if there are any
(json). `truncated` is true if a text was cut or a value left out."""


def file_urls(result: Mapping[str, object]) -> tuple[str, ...]:
    """The addresses of the files of a result."""
    urls = result.get("image_urls") or result.get("output_urls")
    return tuple(urls) if isinstance(urls, list) else ()


TASK_TYPES: Mapping[str, TaskType] = {
    "image": TaskType(
        name="image_gen",
        default_model="google/imagen-4-fast",
        result=_image_result,
        inputs=(
            InputSpec(
                name="prompt", kind=InputKind.TEXT, description="What the picture should show."
            ),
            InputSpec(
                name="aspect_ratio",
                kind=InputKind.TEXT,
                description="Width to height.",
                choices=("1:1", "9:16", "16:9", "3:4", "4:3"),
            ),
            InputSpec(
                name="output_format",
                kind=InputKind.TEXT,
                description="The type of the file.",
                choices=("jpg", "png", "webp"),
            ),
            InputSpec(
                name="num_outputs",
                kind=InputKind.INTEGER,
                description="How many pictures to make.",
                minimum=1,
                maximum=4,
            ),
            InputSpec(
                name="seed",
                kind=InputKind.INTEGER,
                description="The same number makes the same picture again.",
                minimum=0,
            ),
            InputSpec(
                name="negative_prompt",
                kind=InputKind.TEXT,
                description="What the picture should not show.",
            ),
        ),
        models=(
            "google/nano-banana-2",
            "black-forest-labs/flux-schnell",
            "black-forest-labs/flux-dev",
            "bytedance/seedream-4",
        ),
    ),
}


def removed_type(name: str) -> TaskType:
    """A type for a running task whose own type is no longer defined.

    It keeps whatever comes, in every form of a result that the clients of the task may wait for.

    Args:
        name: what clients see in `task_type`.
    """
    return TaskType(name=name, default_model="", result=_any_result)


def with_default_model(
    task_types: Mapping[str, TaskType], type_: str, model: str, fallback_models: Sequence[str] = ()
) -> Mapping[str, TaskType]:
    """The same task types, with another default model and other fallback models for one of them.

    Raises:
        InvalidInputError: a model does not look like owner/name or owner/name:version.
    """
    changed = dataclasses.replace(
        task_types[type_],
        default_model=validate_model(model, "default_model"),
        fallback_models=tuple(validate_model(name, "fallback_models") for name in fallback_models),
    )
    return {**task_types, type_: changed}


def determine_task_params(
    input_data: object,
    task_types: Mapping[str, TaskType] = TASK_TYPES,
    policy: InputPolicy | None = None,
) -> TaskParams:
    """Validate `{"type": "image", "prompt": …, "model": …, …}` and decide what to run for it.

    The model gets the inputs that its family accepts (see `models`); a null counts as absent.

    Args:
        policy: what the operator allows; None allows everything.

    Raises:
        InvalidInputError: it names the field, as a path into the body ("input_data.prompt").
    """
    if not isinstance(input_data, dict):
        raise InvalidInputError("input_data", "must be an object")
    if is_too_deep(input_data):
        raise InvalidInputError("input_data", TOO_DEEP)
    type_ = _checked_type(input_data, task_types)
    task_type = task_types[type_]
    model = input_data.get("model")
    model_name = (
        task_type.default_model if model is None else validate_model(model, "input_data.model")
    )
    provider_input = _provider_input(input_data, task_type, model_name)
    params = TaskParams(
        type=type_,
        task_type=task_type.name,
        model=model_name,
        input_data=input_data,
        provider_input=provider_input,
        fingerprint=fingerprint(model_name, provider_input),
        deadline_s=task_type.deadline_s,
        estimated_cost_usd=_estimate(task_type, model_name, provider_input),
        uploads=used_uploads(input_data),
    )
    if policy is not None:
        policy.check(params)
    return params


_encoded: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def fingerprint(model: str, provider_input: Mapping[str, object]) -> str:
    """A hash of a model and its input: 64 hex digits.

    The version is left out, because the provider's list of predictions names models without it.
    """
    identity = [model.partition(":")[0].lower(), _canonical(provider_input)]
    text = _encoded(identity)
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: object) -> object:
    # 1.0 and 1 are the same number in JSON, and the provider may return either.
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
        raise InvalidInputError("input_data.type", f"is not a known type; known types: {known}")
    return type_


def validate_model(model: object, field: str) -> str:
    """Check a model's name; returns it without surrounding white space.

    Raises:
        InvalidInputError: the value of `field` does not look like owner/name, owner/name:version
            or deployments/owner/name.
    """
    if not isinstance(model, str) or not _MODEL.fullmatch(model.strip()):
        raise InvalidInputError(
            field, 'must look like "owner/name", "owner/name:version" or "deployments/owner/name"'
        )
    name = model.strip()
    return DEPLOYMENTS + deployment if (deployment := deployment_of(name)) else name


def _estimate(task_type: TaskType, model: str, provider_input: JSONObject) -> float | None:
    if model == task_type.default_model and task_type.price_usd is not None:
        return round(task_type.price_usd * model_family(model).outputs(provider_input), 6)
    return estimated_cost_usd(model, provider_input)


def _provider_input(input_data: JSONObject, task_type: TaskType, model: str) -> JSONObject:
    if len(input_data) > MAX_INPUTS:
        raise InvalidInputError("input_data", f"has more than {MAX_INPUTS} keys")
    family = task_type.family(model)
    specs = {spec.name: spec for spec in task_type.inputs}
    accepted: JSONObject = {}
    prompt = _prompt(input_data, task_type)
    if prompt is not None:
        family.add(accepted, "prompt", prompt)
    for name in task_type.required_inputs:
        if input_data.get(name) in (None, "", []):
            raise InvalidInputError(f"input_data.{name}", "is missing")
    used = {"prompt", "messages"} if task_type.has_messages else {"prompt"}
    for name, value in input_data.items():
        if name in _TASK_KEYS or name in used or value is None:
            continue
        spec = specs.get(name)
        if value == "" and (spec is not None or is_checked(name)):
            continue
        checked = checked_input(name, value)
        family.add(accepted, name, checked if spec is None else spec.checked(checked))
    for spec in task_type.inputs if task_type.sends_defaults(model) else ():
        is_missing = input_data.get(spec.name) in (None, "")
        if spec.default is not None and is_missing and spec.name != "prompt":
            family.add(accepted, spec.name, spec.default, is_default=True)
    return accepted


def _prompt(input_data: JSONObject, task_type: TaskType) -> str | None:
    """The prompt, or the default one; None if there is none and the type needs none."""
    prompt = input_data.get("prompt")
    if prompt == "" and not task_type.needs_prompt:
        prompt = None  # a form sends its empty fields too
    if prompt is None:
        prompt = next((one.default for one in task_type.inputs if one.name == "prompt"), None)
    if prompt is None and not task_type.needs_prompt:
        return None
    text = checked_prompt(prompt)
    if task_type.has_messages:
        return with_conversation(text, input_data.get("messages"))
    return text
