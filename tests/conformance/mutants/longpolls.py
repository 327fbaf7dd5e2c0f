"""Mistakes of long-polling."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from phoenix_compat.endpoint import LongPollOptions
from phoenix_compat.transports import long_poll
from phoenix_compat.transports.long_poll import Client, LongPollHub
from phoenix_compat.transports.request import HttpRequest
from phoenix_compat.transports.response import HttpResponse
from phoenix_compat.transports.session import LongPollSession
from tests.conformance.mutants import mutant

Body = dict[str, Any]

WHERE_A_POLL_BRINGS_MESSAGES = (
    "longpoll/session",
    "longpoll/batch/ndjson",
    "longpoll/broadcast",
    "longpoll/auth-token",
    "longpoll/token/header",
    "longpoll/token/header-wins",
    "longpoll/token/sibling-path",
    "longpoll/post/no-type",
    "longpoll/post/charset",
    "longpoll/post/error-reply",
    "longpoll/batch/crlf",
    "longpoll/batch/hundred",
    "longpoll/batch/stale",
    "longpoll/batch/binary",
    "longpoll/batch/not-base64",
)


def rewrite(patch: pytest.MonkeyPatch, change: Callable[[Body], HttpResponse]) -> None:
    """Replace every JSON response."""
    patch.setattr(long_poll, "_json", lambda body: change(json.loads(body)))


def answer(body: Body, status: int = 200) -> HttpResponse:
    """A JSON response with the server's headers."""
    headers = {
        "Access-Control-Allow-Origin": "*",
        "Cache-Control": "no-store",
        "Content-Type": "application/json; charset=utf-8",
    }
    return HttpResponse(status, headers, json.dumps(body).encode())


@mutant(
    10,
    60,
    fails=[
        "longpoll/open",
        "longpoll/session",
        "longpoll/batch",
        "longpoll/token",
        "longpoll/broadcast",
        "longpoll/auth-token",
        "longpoll/poll",
        "longpoll/headers/answer",
        "longpoll/origin",
        "longpoll/post",
        "longpoll/undecodable",
    ],
)
def http_mirrors_the_inner_status(patch: pytest.MonkeyPatch) -> None:
    """A refusal has HTTP status 403, an unknown session 410."""
    rewrite(patch, lambda body: answer(body, body["status"]))


@mutant(
    61,
    fails=[
        "longpoll/open",
        "longpoll/session",
        "longpoll/batch",
        "longpoll/token/bad-get",
        "longpoll/broadcast",
        "longpoll/auth-token",
        "longpoll/poll",
        "longpoll/token/header",
        "longpoll/token/header-wins",
        "longpoll/token/list",
        "longpoll/token/dangling-ampersand",
        "longpoll/token/sibling-path",
        "longpoll/headers/answer",
        "longpoll/post/no-type",
        "longpoll/post/charset",
        "longpoll/post/error-reply",
        "longpoll/undecodable",
        "end/disconnect longpoll",
    ],
)
def the_first_get_is_200(patch: pytest.MonkeyPatch) -> None:
    """A new session has the status 200."""
    open_session = LongPollHub._open

    async def opening(self: LongPollHub, *args: Any) -> HttpResponse:
        response = await open_session(self, *args)
        body = json.loads(response.body)
        return answer({**body, "status": 200}) if body["status"] == 410 else response

    patch.setattr(LongPollHub, "_open", opening)


@mutant(
    62,
    fails=[
        "longpoll/token/bad-post",
        "longpoll/post/no-token",
        "longpoll/batch/trailing-newline",
        "longpoll/undecodable",
        "end/disconnect longpoll",
    ],
)
def a_post_opens_a_session(patch: pytest.MonkeyPatch) -> None:
    """A POST without a session is accepted."""
    publish = LongPollHub._publish

    async def accepting(
        self: LongPollHub, session: LongPollSession | None, client: Client, content_type: str
    ) -> HttpResponse:
        if session is None:
            return answer({"status": 200})
        return await publish(self, session, client, content_type)

    patch.setattr(LongPollHub, "_publish", accepting)


@mutant(
    63,
    fails=[
        "longpoll/token/bad-get",
        "longpoll/token/list",
        "longpoll/undecodable",
        "end/disconnect longpoll",
    ],
)
def a_dead_token_is_refused(patch: pytest.MonkeyPatch) -> None:
    """A GET with an invalid token gets 403."""
    open_session = LongPollHub._open

    async def refusing(self: LongPollHub, request: HttpRequest, params: Any) -> HttpResponse:
        if params.get("token"):
            return answer({"status": 403})
        return await open_session(self, request, params)

    patch.setattr(LongPollHub, "_open", refusing)


@mutant(
    64,
    fails=["message/exact/push longpoll", "longpoll/poll/strings", *WHERE_A_POLL_BRINGS_MESSAGES],
)
def messages_are_nested_arrays(patch: pytest.MonkeyPatch) -> None:
    """Messages are JSON values instead of strings that hold JSON."""

    def nested(body: Body) -> HttpResponse:
        if "messages" in body:
            body["messages"] = [json.loads(message) for message in body["messages"]]
        return answer(body)

    rewrite(patch, nested)


@mutant(
    65,
    fails=["frame/text/whitespace longpoll", "longpoll/post/charset"],
)
def every_body_is_a_batch(patch: pytest.MonkeyPatch) -> None:
    """Bodies are split at newlines, whatever their content type."""
    publish_all = LongPollHub._publish_all

    async def splitting(self: LongPollHub, session: LongPollSession, entries: Any) -> Any:
        lines = [
            (line, is_binary)
            for data, is_binary in entries
            for line in (data.split(b"\n") if not is_binary else [data])
        ]
        return await publish_all(self, session, lines)

    patch.setattr(LongPollHub, "_publish_all", splitting)


@mutant(68, fails=["longpoll/headers/preflight", "longpoll/headers/preflight-cache"])
def preflights_are_204(patch: pytest.MonkeyPatch) -> None:
    """A preflight gets the usual 204."""

    def usual(request: HttpRequest) -> HttpResponse:
        return HttpResponse(204, {"Access-Control-Allow-Methods": "GET, POST"})

    patch.setattr(long_poll, "_preflight", usual)


@mutant(
    69,
    fails=["longpoll/poll", *WHERE_A_POLL_BRINGS_MESSAGES],
)
def polls_are_answered_without_a_token(patch: pytest.MonkeyPatch) -> None:
    """Only the first response has the token."""

    def without(body: Body) -> HttpResponse:
        if body["status"] in {200, 204}:
            body.pop("token", None)
        return answer(body)

    rewrite(patch, without)


@mutant(fails=["longpoll/batch/hundred"])
def batches_have_no_limit(patch: pytest.MonkeyPatch) -> None:
    """Every line of a batch is handled."""
    init = LongPollHub.__init__

    def boundless(self: LongPollHub, *args: Any) -> None:
        init(self, *args)
        self.options = LongPollOptions(
            window_s=self.options.window_s,
            check_origin=self.options.check_origin,
            max_batch_messages=1_000_000,
        )

    patch.setattr(LongPollHub, "__init__", boundless)
