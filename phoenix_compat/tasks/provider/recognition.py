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
import re
import unicodedata
from collections.abc import Iterator, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qs, urlsplit

from phoenix_compat.tasks.model.inputs.file_inputs import inline_hash, upload_hash
from phoenix_compat.tasks.model.models import deployment_of
from phoenix_compat.tasks.model.task import Task
from phoenix_compat.tasks.model.task_types import fingerprint
from phoenix_compat.tasks.provider.prediction_document import PredictionDocument

_MAX_DEPTH: Final = 16
_MAX_URL_CHARS: Final = 2_000
_LINK: Final = re.compile(r"^https?://[^/]+/files/([0-9a-f]{64})\.[a-z0-9]+$")
"""A link to a file of this server."""
_FILE_SCHEMES: Final = ("data:", "http://", "https://")


class Match(IntEnum):
    """Whether a listed prediction is a task's; see the module docstring."""

    FOREIGN = 0
    MAYBE = 1
    OURS = 2


def match(
    prediction: PredictionDocument, task: Task, sent: Mapping[str, str] = MappingProxyType({})
) -> Match:
    """Compare a listed prediction with a task that has lost the answer to its create.

    Args:
        sent: address -> sha256 of the files that were sent to the provider; see `listed_urls`.
    """
    if (named := _task_in(prediction.webhook)) is not None:
        return Match.OURS if named == task.id else Match.FOREIGN
    deployment = deployment_of(task.running_model)
    if deployment is not None:
        return _match_deployment(prediction, task, deployment, sent)
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
    return _match_inputs(prediction.input, task.provider_input, sent)


def _match_deployment(
    prediction: PredictionDocument, task: Task, deployment: str, sent: Mapping[str, str]
) -> Match:
    """The same for a task that runs on a deployment, whose model is not known."""
    is_named = isinstance(prediction.deployment, str)
    if is_named and str(prediction.deployment).lower() != deployment.lower():
        return Match.FOREIGN
    if not isinstance(prediction.input, dict):
        return Match.MAYBE
    result = _match_inputs(prediction.input, task.provider_input, sent)
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


def _match_inputs(
    listed: Mapping[str, object], ours: Mapping[str, object], sent: Mapping[str, str]
) -> Match:
    """OURS if each of our inputs is listed with an equal value."""
    results = [
        _match_values(listed[name], value, 0, sent) if name in listed else Match.MAYBE
        for name, value in ours.items()
    ]
    return min(results, default=Match.MAYBE)


def _match_values(listed: object, ours: object, depth: int, sent: Mapping[str, str]) -> Match:
    if (sha256 := upload_hash(ours)) is not None:
        return _match_file(listed, sha256, sent)
    if depth > _MAX_DEPTH or _is_file(ours) or _is_file(listed):
        return Match.OURS if listed == ours else Match.MAYBE
    if isinstance(ours, Mapping) or isinstance(listed, Mapping):
        if not (isinstance(ours, Mapping) and isinstance(listed, Mapping)):
            return Match.MAYBE
        results = [
            _match_values(listed[name], value, depth + 1, sent) if name in listed else Match.MAYBE
            for name, value in ours.items()
        ]
        return min(results, default=Match.OURS)
    if isinstance(ours, list) or isinstance(listed, list):
        if not (isinstance(ours, list) and isinstance(listed, list)) or len(ours) != len(listed):
            return Match.MAYBE
        pairs = zip(listed, ours, strict=True)
        return min((_match_values(*pair, depth + 1, sent) for pair in pairs), default=Match.OURS)
    if listed is None or ours is None:
        return Match.OURS if listed == ours else Match.MAYBE
    return Match.OURS if _plain(listed) == _plain(ours) else Match.FOREIGN


def _match_file(listed: object, sha256: str, sent: Mapping[str, str]) -> Match:
    """Compare what is listed with a stored file, which was sent inline, as a copy or as a link."""
    if not isinstance(listed, str):
        return Match.MAYBE
    linked = _LINK.search(listed)
    known = linked[1] if linked is not None else sent.get(listed)
    if known is not None:
        return Match.OURS if known == sha256 else Match.FOREIGN
    return Match.OURS if inline_hash(listed) == sha256 else Match.MAYBE


def listed_urls(prediction: PredictionDocument) -> Iterator[str]:
    """The addresses in the input of a listed prediction, where a file may have been."""
    values = prediction.input.values() if isinstance(prediction.input, dict) else ()
    for value in values:
        for item in value if isinstance(value, list) else (value,):
            if isinstance(item, str) and len(item) <= _MAX_URL_CHARS and item.startswith("http"):
                yield item


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
