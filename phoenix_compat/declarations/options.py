"""Checks the values of options: types, ranges, and texts where a list is meant."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from phoenix_compat.bounded import brief
from phoenix_compat.errors import ConfigError


class Rule(NamedTuple):
    """What one option must be.

    Attributes:
        is_valid: decides.
        expected: what to write: "a number of seconds above 0, such as timeout_s=60.0".
    """

    is_valid: Callable[[Any], bool]
    expected: str


Rules: TypeAlias = Mapping[str, Rule]
"""The rule of each option, by name."""


def check_options(owner: str, values: Mapping[str, Any], rules: Rules) -> None:
    """Check the options of one object.

    Args:
        owner: whose options these are, for the message: the name of a class.

    Raises:
        ConfigError: options are invalid; the message names all of them.
    """
    problems = [
        f"{name} is {brief(values[name])}, but must be {rule.expected}"
        for name, rule in rules.items()
        if not rule.is_valid(values[name])
    ]
    if problems:
        raise ConfigError(f"{owner}: " + "; ".join(problems))


def check_fields(options: object, rules: Rules) -> None:
    """Check the fields of an options object; see `check_options`."""
    values = {name: getattr(options, name) for name in rules}
    check_options(type(options).__name__, values, rules)


def seconds(example: str, *, zero: bool = False) -> Rule:
    """A duration, above 0 unless `zero` is allowed."""
    bound = "of at least 0" if zero else "above 0"
    return Rule(
        lambda value: _is_number(value) and (value >= 0 if zero else value > 0),
        f"a number of seconds {bound}, such as {example}",
    )


def count(example: str, *, least: int = 1) -> Rule:
    """A whole number of at least `least`."""
    return Rule(
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least,
        f"a whole number of at least {least}, such as {example}",
    )


def flag(name: str) -> Rule:
    """True or False."""
    return Rule(lambda value: isinstance(value, bool), f"{name}=True or {name}=False")


def text(example: str) -> Rule:
    """A text that is not empty."""
    return Rule(lambda value: isinstance(value, str) and bool(value), f"a text, such as {example}")


def texts(example: str) -> Rule:
    """A list of texts that are not empty; one text is not a list of its letters."""
    return Rule(is_texts, f"a list of texts, such as {example}")


def function(example: str) -> Rule:
    """A callable."""
    return Rule(callable, f"a function, such as {example}")


def instance(kind: type, example: str) -> Rule:
    """An instance of a class; the class itself is not one."""
    return Rule(lambda value: isinstance(value, kind), f"{example}")


def either(rule: Rule, *others: Rule) -> Rule:
    """What one of several rules allows."""
    rules = (rule, *others)
    return Rule(
        lambda value: any(each.is_valid(value) for each in rules),
        ", or ".join(each.expected for each in rules),
    )


def optional(rule: Rule) -> Rule:
    """None, or what a rule allows."""
    return Rule(lambda value: value is None or rule.is_valid(value), f"{rule.expected}, or None")


def is_texts(value: object, *, may_be_empty: bool = False) -> bool:
    """Whether a value is a list (or another collection) of texts that are not empty."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Collection):
        return False
    return all(isinstance(item, str) and (item or may_be_empty) for item in value)


def is_pairs(
    value: object, is_first: Callable[[Any], bool], is_second: Callable[[Any], bool]
) -> bool:
    """Whether a value is a list of pairs of such values."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return False
    return all(
        isinstance(pair, tuple) and len(pair) == 2 and is_first(pair[0]) and is_second(pair[1])
        for pair in value
    )


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return not math.isnan(value)
