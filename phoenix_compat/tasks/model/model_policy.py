"""What the operator allows clients to order: models, numbers of outputs, and inputs. No I/O."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from phoenix_compat.tasks.model.errors import InputNotAllowedError, InvalidInputError
from phoenix_compat.tasks.model.inputs.named_inputs import MAX_NAME_CHARS, plain
from phoenix_compat.tasks.model.inputs.output_count import check_outputs, is_count
from phoenix_compat.tasks.model.inputs.safety_inputs import is_about_safety, unsafe_input
from phoenix_compat.tasks.model.models import DEPLOYMENTS, deployment_of, model_family
from phoenix_compat.tasks.model.task_types import TaskParams, TaskType

DEFAULT_MAX_OUTPUTS: Final = 15
"""As many as any model of `models.MODEL_FAMILIES` makes."""

_MODEL: Final = "input_data.model"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRules:
    """The operator's choices.

    Attributes:
        allowed_models: globs over "owner/name", which allow every version, or "owner/name:version";
            None stands for the models of all task types.
        is_open: allow every model while `allowed_models` is None.
        needs_price: refuse models whose price is unknown, because a cap could not count them.
        max_outputs: the most outputs that a task may ask for.
        allows_unsafe_inputs: let clients turn off a model's safety checks.
    """

    allowed_models: tuple[str, ...] | None = None
    is_open: bool = True
    needs_price: bool = False
    max_outputs: int = DEFAULT_MAX_OUTPUTS
    allows_unsafe_inputs: bool = False


class ModelPolicy:
    """Checks what is going to be sent to a model.

    Args:
        task_types: the table of the server; it may change.

    Attributes:
        rules: the operator's choices; may be replaced at any time.
    """

    def __init__(
        self, task_types: Mapping[str, TaskType], rules: PolicyRules | None = None
    ) -> None:
        self._task_types = task_types
        self.rules = rules or PolicyRules()

    def check(self, params: TaskParams) -> None:
        """Check a task's model and what the model gets.

        Raises:
            InputNotAllowedError: the operator does not allow the model or an input.
            InvalidInputError: it asks for too many outputs.
        """
        rules = self.rules
        if not self.allows(params.model):
            raise InputNotAllowedError(
                _MODEL, "is not a model that this server allows; choose another one"
            )
        if rules.needs_price and params.estimated_cost_usd is None:
            reason = "has no known price, so this server's spending cap cannot count it"
            raise InputNotAllowedError(_MODEL, f"{reason}; choose another model")
        if not any(_needs_check(name, value) for name, value in params.provider_input.items()):
            return
        try:
            check_outputs(params.provider_input, rules.max_outputs)
        except InvalidInputError as error:
            raise InvalidInputError(_posted_field(params, error.field), error.reason) from error
        if not rules.allows_unsafe_inputs:
            defaults = dict(model_family(params.model).safety_defaults)
            path = unsafe_input(params.provider_input, defaults)
            if path is not None:
                raise InputNotAllowedError(
                    _posted_field(params, path),
                    "would make the model less strict, which this server does not allow",
                )

    def allows(self, model: str) -> bool:
        """Whether a model may run."""
        return _matches_any(model, self.patterns)

    @property
    def patterns(self) -> tuple[str, ...]:
        """Globs over the models that may run; see `PolicyRules.allowed_models`."""
        rules = self.rules
        if rules.allowed_models is not None:
            return rules.allowed_models
        return ("*",) if rules.is_open else self._default_patterns()

    def _default_patterns(self) -> tuple[str, ...]:
        models: dict[str, None] = {}
        for task_type in self._task_types.values():
            models |= dict.fromkeys((task_type.default_model, *task_type.fallback_models))
        return tuple(models)


def _needs_check(name: str, value: object) -> bool:
    is_nested = isinstance(value, dict | list)
    return is_nested or (len(name) <= MAX_NAME_CHARS and _is_restricted(name))


@lru_cache(maxsize=1_024)
def _is_restricted(name: str) -> bool:
    return is_count(plain(name)) or is_about_safety(plain(name))


@lru_cache(maxsize=256)
def _matches_any(model: str, patterns: tuple[str, ...]) -> bool:
    """Whether a pattern matches a model; without ":", a pattern allows every version.

    A deployment is only matched by "*" and by patterns that begin with "deployments/".
    """
    pinned = model.lower()
    if deployment_of(pinned) is not None:
        patterns = tuple(
            pattern
            for pattern in patterns
            if pattern == "*" or pattern.lower().startswith(DEPLOYMENTS)
        )
    name = pinned.partition(":")[0]
    return any(
        fnmatch.fnmatchcase(pinned if ":" in pattern else name, pattern.lower())
        for pattern in patterns
    )


def _posted_field(params: TaskParams, path: str) -> str:
    """An input's path in the posted body: the model's name of an input may be another one."""
    name, dot, rest = path.partition(".")
    if name not in params.input_data:
        ours = [ours for ours, its in model_family(params.model).renames if its == name]
        name = next((one for one in ours if one in params.input_data), ours[0] if ours else name)
    return f"input_data.{name}{dot}{rest}"
