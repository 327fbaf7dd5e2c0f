"""Recognises the prediction of a create whose answer was lost, in the provider's list. No I/O.

The list may show an input in another form than it was sent in: with defaults added, files replaced
by addresses, texts trimmed, numbers in another spelling. So a prediction is ours if nothing that
the provider leaves alone contradicts it:

    OURS       its webhook is this task's, or its input is equal to ours
    MAYBE      the same model; no text, number or boolean differs, but something is missing or has
               another form. Nobody may create it again.
    FOREIGN    another model or deployment, another task's webhook, or a different text, number or
               boolean
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from enum import IntEnum
from typing import Final
from urllib.parse import parse_qs, urlsplit

from phoenix_compat.tasks.model.models import deployment_of
from phoenix_compat.tasks.model.task import Task
from phoenix_compat.tasks.model.task_types import fingerprint
from phoenix_compat.tasks.provider.prediction_document import PredictionDocument

_MAX_DEPTH: Final = 16
_FILE_SCHEMES: Final = ("data:", "http://", "https://")


class Match(IntEnum):
    """Whether a listed prediction is a task's; see the module docstring."""

    FOREIGN = 0
    MAYBE = 1
    OURS = 2


def match(prediction: PredictionDocument, task: Task) -> Match:
    """Compare a listed prediction with a task that has lost the answer to its create."""
    if (named := _task_in(prediction.webhook)) is not None:
        return Match.OURS if named == task.id else Match.FOREIGN
    deployment = deployment_of(task.running_model)
    if deployment is not None:
        return _match_deployment(prediction, task, deployment)
    if isinstance(prediction.deployment, str):
        return Match.FOREIGN
    model, _, version = task.running_model.lower().partition(":")
    if prediction.model is not None and prediction.model.lower() != model:
        return Match.FOREIGN
    if version and prediction.version not in {None, version}:
        return Match.FOREIGN
    if not isinstance(prediction.input, dict):
        return Match.MAYBE
    if prediction.model and fingerprint(prediction.model, prediction.input) == task.fingerprint:
        return Match.OURS
    return _match_inputs(prediction.input, task.provider_input)


def _match_deployment(prediction: PredictionDocument, task: Task, deployment: str) -> Match:
    """The same for a task that runs on a deployment, whose model is not known."""
    is_named = isinstance(prediction.deployment, str)
    if is_named and str(prediction.deployment).lower() != deployment.lower():
        return Match.FOREIGN
    if not isinstance(prediction.input, dict):
        return Match.MAYBE
    result = _match_inputs(prediction.input, task.provider_input)
    return result if is_named else min(result, Match.MAYBE)


def _task_in(webhook: object) -> str | None:
    """The id of the task in the address of a webhook of ours; see `ReplicateProvider`."""
    if not isinstance(webhook, str):
        return None
    try:
        query = parse_qs(urlsplit(webhook).query)
    except ValueError:
        return None
    return query["task"][0] if "task" in query and "tag" in query else None


def _match_inputs(listed: Mapping[str, object], ours: Mapping[str, object]) -> Match:
    """OURS if each of our inputs is listed with an equal value."""
    results = [
        _match_values(listed[name], value, 0) if name in listed else Match.MAYBE
        for name, value in ours.items()
    ]
    return min(results, default=Match.MAYBE)


def _match_values(listed: object, ours: object, depth: int) -> Match:
    if depth > _MAX_DEPTH or _is_file(ours) or _is_file(listed):
        return Match.OURS if listed == ours else Match.MAYBE
    if isinstance(ours, Mapping) or isinstance(listed, Mapping):
        if not (isinstance(ours, Mapping) and isinstance(listed, Mapping)):
            return Match.MAYBE
        results = [
            _match_values(listed[name], value, depth + 1) if name in listed else Match.MAYBE
            for name, value in ours.items()
        ]
        return min(results, default=Match.OURS)
    if isinstance(ours, list) or isinstance(listed, list):
        if not (isinstance(ours, list) and isinstance(listed, list)) or len(ours) != len(listed):
            return Match.MAYBE
        pairs = zip(listed, ours, strict=True)
        return min((_match_values(*pair, depth + 1) for pair in pairs), default=Match.OURS)
    if listed is None or ours is None:
        return Match.OURS if listed == ours else Match.MAYBE
    return Match.OURS if _plain(listed) == _plain(ours) else Match.FOREIGN


def _is_file(value: object) -> bool:
    """Whether the provider may replace the value: it is a file, or the address of one."""
    return isinstance(value, str) and value.lstrip().lower().startswith(_FILE_SCHEMES)


def _plain(value: object) -> str:
    """A text, number or boolean in a form that does not depend on its spelling."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = " ".join(unicodedata.normalize("NFKC", str(value)).split()).casefold()
    try:
        number = float(text)
    except ValueError:
        return text
    return repr(number) if math.isfinite(number) else text
