"""What tasks may cost: caps, quotas and the models that clients may choose."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from phoenix_compat.server.process.settings.part import SettingsPart
from phoenix_compat.tasks.model.caps import Caps, Limits, limit_microdollars
from phoenix_compat.tasks.model.model_policy import DEFAULT_MAX_OUTPUTS, PolicyRules
from phoenix_compat.tasks.model.models import MAX_COUNTED_OUTPUTS

_MAX_USD: Final = 1e9
_MAX_TASKS: Final = 10**9
_PATTERN: Final = re.compile(
    r"\*|(?:deployments/)?[^\s/:]{1,100}/[^\s/:]{1,100}(:[^\s/:]{1,128})?", re.ASCII
)


def _is_model_pattern(text: str) -> str:
    if _PATTERN.fullmatch(text) is None:
        raise ValueError(
            'must be like "owner/name", "owner/*", "deployments/owner/name" or "*", or have a '
            '":version" behind'
        )
    return text


class BudgetSettings(SettingsPart):
    """The part of `Settings` about this subject. Days and months are those of UTC."""

    owner_usd_per_day: float | None = Field(
        None,
        ge=0,
        le=_MAX_USD,
        description="the most that the tasks of one owner may cost in a day, in US dollars, as "
        "estimated; without it, no limit",
    )
    owner_usd_per_month: float | None = Field(
        None,
        ge=0,
        le=_MAX_USD,
        description="the most that the tasks of one owner may cost in a month, in US dollars, as "
        "estimated; without it, no limit",
    )
    owner_tasks_per_day: int | None = Field(
        None,
        ge=0,
        le=_MAX_TASKS,
        description="how many tasks one owner may create in a day; without it, no limit",
    )
    owner_tasks_per_month: int | None = Field(
        None,
        ge=0,
        le=_MAX_TASKS,
        description="how many tasks one owner may create in a month; without it, no limit",
    )
    total_usd_per_day: float | None = Field(
        None,
        ge=0,
        le=_MAX_USD,
        description="the most that all tasks together may cost in a day, in US dollars, as "
        "estimated; without it, no limit",
    )
    total_usd_per_month: float | None = Field(
        None,
        ge=0,
        le=_MAX_USD,
        description="the most that all tasks together may cost in a month, in US dollars, as "
        "estimated; without it, no limit",
    )
    total_tasks_per_day: int | None = Field(
        None,
        ge=0,
        le=_MAX_TASKS,
        description="how many tasks all owners together may create in a day; without it, no limit",
    )
    total_tasks_per_month: int | None = Field(
        None,
        ge=0,
        le=_MAX_TASKS,
        description="how many tasks all owners together may create in a month; without it, no "
        "limit",
    )
    allow_unpriced_models: bool = Field(
        default=False,
        description="whether models without a known price may run although there is a limit in US "
        "dollars, which cannot count them",
    )
    allowed_models: tuple[Annotated[str, AfterValidator(_is_model_pattern)], ...] = Field(
        (),
        description="the only models that may run, "
        'as ["google/*", "black-forest-labs/flux-schnell"]; if empty, any model '
        "while authentication is off, else those of the task types",
    )
    max_outputs: int = Field(
        DEFAULT_MAX_OUTPUTS,
        ge=1,
        le=MAX_COUNTED_OUTPUTS,
        description=f"how many outputs a task may ask for, 1 to {MAX_COUNTED_OUTPUTS}",
    )
    allow_unsafe_inputs: bool = Field(
        default=False,
        description="whether clients may turn off the safety checks of models, as with "
        "disable_safety_checker",
    )

    @property
    def caps(self) -> Caps:
        """The limits for each owner and for all, in the units in which they are counted."""
        return Caps(
            owner_per_day=_limits(self.owner_usd_per_day, self.owner_tasks_per_day),
            owner_per_month=_limits(self.owner_usd_per_month, self.owner_tasks_per_month),
            total_per_day=_limits(self.total_usd_per_day, self.total_tasks_per_day),
            total_per_month=_limits(self.total_usd_per_month, self.total_tasks_per_month),
        )

    def policy_rules(self, *, is_open: bool = True) -> PolicyRules:
        """The rules for models and inputs.

        Args:
            is_open: whether authentication is off, so that clients may choose any model.
        """
        return PolicyRules(
            allowed_models=self.allowed_models or None,
            is_open=is_open,
            needs_price=self.caps.has_usd and not self.allow_unpriced_models,
            max_outputs=self.max_outputs,
            allows_unsafe_inputs=self.allow_unsafe_inputs,
        )


def _limits(usd: float | None, tasks: int | None) -> Limits:
    return Limits(microdollars=limit_microdollars(usd), tasks=tasks)
