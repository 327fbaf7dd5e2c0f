"""Replicate as a `Provider`.

A create costs money and has no idempotency key, so nothing here repeats a request or follows a
redirect.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pydantic

from phoenix_compat.tasks.model.clock import stored_time
from phoenix_compat.tasks.model.errors import (
    ProviderRefusedError,
    ProviderUncertainError,
    ProviderUnreachableError,
)
from phoenix_compat.tasks.model.models import deployment_of
from phoenix_compat.tasks.model.prediction import PredictionRef, PredictionSnapshot
from phoenix_compat.tasks.model.results.provider_texts import users_words
from phoenix_compat.tasks.model.task import JSONObject, Task
from phoenix_compat.tasks.provider.input_files import InputFiles
from phoenix_compat.tasks.provider.prediction_document import PredictionDocument
from phoenix_compat.tasks.provider.provider import Candidates
from phoenix_compat.tasks.provider.recognition import Match, listed_urls, match
from phoenix_compat.tasks.provider.replicate.client import ClientOptions, ReplicateClient
from phoenix_compat.tasks.provider.replicate.streams import SILENCE_S, ReplicateStreams
from phoenix_compat.tasks.provider.webhook_tags import WebhookTags
from phoenix_compat.tasks.streams.server_sent_events import ServerSentEvent

MAX_LIST_PAGES = 10
MAX_KNOWN_VERSIONS = 256
MIN_CANCEL_AFTER_S = 5
WEBHOOK_EVENTS = ("start", "output", "logs", "completed")

# Ids are opaque, but they become part of a URL path.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.~-]{0,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The account that a token belongs to.

    Attributes:
        date: the header `Date` of the answer, which shows the provider's clock.
        requests_left: the header `RateLimit-Remaining`: requests left in the current minute.
    """

    username: str
    date: str | None
    requests_left: str | None


class ReplicateProvider:
    """A `Provider` for Replicate, or for another server with the same HTTP API."""

    def __init__(  # noqa: PLR0913 - plain values, each with a default
        self,
        *,
        token: str,
        base_url: str,
        deadline_s: float = 600.0,
        webhook_url: str | None = None,
        tags: WebhookTags | None = None,
        connect_timeout_s: float = 5.0,
        read_timeout_s: float = 20.0,
        total_timeout_s: float = 60.0,
        stream_silence_s: float = SILENCE_S,
        input_files: InputFiles | None = None,
    ) -> None:
        """Prepare the client; nothing is sent.

        Args:
            token: the API token; it is sent to `base_url` only.
            base_url: with the version of the API ("https://api.replicate.com/v1").
            deadline_s: sent as Cancel-After for tasks without a deadline of their own: the
                provider cancels predictions that run longer.
            webhook_url: an https URL that the provider reports to; None means polling only.
            tags: make the tags in the query of that URL; by default they are derived from `token`.
            total_timeout_s: the limit for one request, from the first byte to the last.
            stream_silence_s: how long a stream of events may be silent.
            input_files: sends the stored files that inputs refer to; None if there are none.
        """
        self._deadline_s = deadline_s
        self._webhook_url = webhook_url
        self.tags = tags or WebhookTags(token)
        self._input_files = input_files
        self._versions: dict[str, str] = {}
        self._streams = ReplicateStreams(
            token=token,
            base_url=base_url,
            connect_timeout_s=connect_timeout_s,
            silence_s=stream_silence_s,
        )
        self._client = ReplicateClient(
            ClientOptions(
                token=token,
                base_url=base_url,
                connect_timeout_s=connect_timeout_s,
                read_timeout_s=read_timeout_s,
                total_timeout_s=total_timeout_s,
            )
        )

    async def submit(self, task: Task) -> PredictionRef:
        """Create a prediction. See `Provider`.

        Official models can be created by name, community models only with a version. When a name
        is refused, the create is sent again with the model's latest version. Deployments have a
        path of their own.
        """
        model = task.running_model
        version = self._versions.get(model, model)
        try:
            return await self._create(version, task)
        except ProviderRefusedError as refusal:
            if refusal.code != "model_unavailable" or ":" in model or deployment_of(model):
                raise
            latest = await self._latest_version(model)
            if latest is None or latest == version:
                raise
        if len(self._versions) < MAX_KNOWN_VERSIONS:
            self._versions[model] = latest
        return await self._create(latest, task)

    async def fetch(self, ref: PredictionRef) -> PredictionSnapshot:
        """Get a prediction. See `Provider`."""
        answer = await self._client.get(f"/predictions/{quote(ref.id, safe='')}")
        return parse_prediction(answer).snapshot()

    async def cancel(self, ref: PredictionRef) -> PredictionSnapshot:
        """Cancel a prediction. See `Provider`."""
        path = f"/predictions/{quote(ref.id, safe='')}/cancel"
        return parse_prediction(await self._client.post(path)).snapshot()

    async def find(self, since: datetime, task: Task) -> Candidates:
        """Predictions that are, or may be, the task's. See `Provider`."""
        oldest_first = tuple(reversed(await self._listed(since)))
        urls = {url for one in oldest_first for url in listed_urls(one)}
        sent = {} if self._input_files is None else await self._input_files.hashes_of(urls)
        found = [(PredictionRef(one.id), match(one, task, sent)) for one in oldest_first]
        return Candidates(
            ours=[ref for ref, result in found if result is Match.OURS],
            maybe=[ref for ref, result in found if result is Match.MAYBE],
        )

    def stream(self, ref: PredictionRef, after: str | None) -> AsyncGenerator[ServerSentEvent]:
        """The events of a prediction's stream. See `Provider`."""
        return self._streams.events(ref, after)

    async def webhook_secret(self) -> str:
        """Get the secret that signs the account's webhooks ("whsec_…").

        Raises:
            ProviderError: the secret could not be fetched.
        """
        key = _object(await self._client.get("/webhooks/default/secret")).get("key")
        if not isinstance(key, str) or not key:
            raise ProviderUncertainError("answered without a webhook secret")
        return key

    async def account(self) -> Account:
        """Get the account of the token. The request is free and creates nothing.

        Raises:
            ProviderRefusedError: the token is invalid, or the account is refused.
            ProviderError: the account could not be fetched.
        """
        answer = await self._client.get_answer("/account")
        return Account(
            username=str(_object(answer.body).get("username")),
            date=answer.headers.get("date"),
            requests_left=answer.headers.get("ratelimit-remaining"),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._streams.close()
        await self._client.close()
        if self._input_files is not None:
            await self._input_files.close()

    async def _create(self, version: str, task: Task) -> PredictionRef:
        body: JSONObject = {"input": task.provider_input}
        if self._input_files is not None:
            body["input"] = await self._input_files.sendable(task.provider_input)
        path = "/predictions"
        if (deployment := deployment_of(version)) is None:
            body["version"] = version
        else:
            path = f"/deployments/{deployment}/predictions"
        if self._webhook_url is not None:
            query = urlencode({"task": task.id, "tag": self.tags.tag(task.id)})
            body["webhook"] = f"{self._webhook_url}?{query}"
            body["webhook_events_filter"] = list(WEBHOOK_EVENTS)
        deadline_s = self._deadline_s if task.deadline_s is None else task.deadline_s
        cancel_after = f"{max(int(deadline_s), MIN_CANCEL_AFTER_S)}s"
        words = users_words(task.provider_input)
        answer = await self._client.post(path, body, {"Cancel-After": cancel_after}, words)
        return parse_prediction(answer).snapshot().ref

    async def _latest_version(self, model: str) -> str | None:
        try:
            answer = await self._client.get(f"/models/{model}")
        except ProviderRefusedError:
            return None
        except ProviderUncertainError as error:
            # Only this GET has no answer; no create was sent.
            raise ProviderUnreachableError(str(error)) from error
        if not isinstance(answer, dict) or answer.get("is_official") is True:
            return None
        latest = answer.get("latest_version")
        version = latest.get("id") if isinstance(latest, dict) else None
        if not isinstance(version, str) or not _ID.fullmatch(version):
            return None
        return f"{model}:{version}"

    async def _listed(self, since: datetime) -> Sequence[PredictionDocument]:
        predictions: list[PredictionDocument] = []
        params: dict[str, object] = {"created_after": stored_time(since)}
        for _ in range(MAX_LIST_PAGES):
            page = _object(await self._client.get("/predictions", params))
            results = page.get("results")
            for item in results if isinstance(results, list) else []:
                # One invalid entry must not hide the others.
                with contextlib.suppress(pydantic.ValidationError):
                    predictions.append(PredictionDocument.model_validate(item))
            cursor = _cursor(page.get("next"))
            if cursor is None:
                break
            params["cursor"] = cursor
        return predictions


def _object(answer: object) -> JSONObject:
    if not isinstance(answer, dict):
        raise ProviderUncertainError(f"answered with {type(answer).__name__}, not an object")
    return answer


def parse_prediction(answer: object) -> PredictionDocument:
    """Parse a prediction from an answer or a webhook.

    Raises:
        ProviderUncertainError: it is not a valid prediction; the text quotes nothing from it.
    """
    try:
        prediction = PredictionDocument.model_validate(_object(answer))
    except pydantic.ValidationError as error:
        fields = sorted({str(problem["loc"][0]) for problem in error.errors() if problem["loc"]})
        raise ProviderUncertainError(f"answered with an invalid {', '.join(fields)}") from error
    if not _ID.fullmatch(prediction.id):
        raise ProviderUncertainError("answered without a usable id")
    return prediction


def _cursor(next_url: object) -> str | None:
    # Only the cursor is taken from the link, so the token is never sent to an address in an answer.
    if not isinstance(next_url, str):
        return None
    values = parse_qs(urlsplit(next_url).query).get("cursor")
    return values[0] if values else None
