"""The body of a create."""

from __future__ import annotations

import pytest

from phoenix_compat.emulator.json_type import JSON
from phoenix_compat.emulator.predictions.create_body import read_create_body
from phoenix_compat.emulator.problem import ProblemError


def test_an_input_is_enough() -> None:
    """On the models route the body needs only `input`."""
    body = read_create_body({"input": {"prompt": "x"}}, has_version=False)

    assert (body.input, body.version, body.webhook) == ({"prompt": "x"}, None, None)


def test_a_webhook_with_its_events() -> None:
    """A webhook has the events of its filter, or the default events."""
    url = "https://example.com/hook"
    body = {"version": "a/b", "input": {}, "webhook": url, "webhook_events_filter": ["start"]}

    webhook = read_create_body(body, has_version=True).webhook
    del body["webhook_events_filter"]
    default = read_create_body(body, has_version=True).webhook

    assert webhook is not None
    assert default is not None
    assert webhook.url == url
    assert webhook.events == {"start"}
    assert default.events == {"output", "completed"}


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/hook", "http://localhost/x", ""])
def test_webhooks_that_only_the_emulator_allows(url: str) -> None:
    """Plain HTTP to this machine is accepted; an empty URL fails later, as at Replicate."""
    webhook = read_create_body({"input": {}, "webhook": url}, has_version=False).webhook

    assert webhook is not None
    assert webhook.url == url


@pytest.mark.parametrize(
    ("document", "detail"),
    [
        ([], "- Invalid type. Expected: object\n"),
        ({}, "- input is required\n"),
        ({"input": []}, "- input: Invalid type. Expected: object\n"),
        ({"input": {}, "model": "x"}, "- Additional property model is not allowed\n"),
        ({"input": {}, "version": "x"}, "- Additional property version is not allowed\n"),
        (
            {"input": {}, "webhook": "http://example.com"},
            "- webhook: webhook must be a valid HTTPS URL\n",
        ),
        ({"input": {}, "webhook": "https://["}, "- webhook: webhook must be a valid HTTPS URL\n"),
        ({"input": {}, "webhook": 5}, "- webhook: webhook must be a valid HTTPS URL\n"),
        (
            {"input": {}, "webhook_events_filter": ["done"]},
            '- webhook_events_filter: must be among: "completed", "logs", "output", "start"\n',
        ),
        (
            {"input": {}, "webhook_events_filter": [[]]},
            '- webhook_events_filter: must be among: "completed", "logs", "output", "start"\n',
        ),
    ],
)
def test_unknown_keys_and_wrong_types_are_refused(document: JSON, detail: str) -> None:
    """`detail` has a line for each error."""
    with pytest.raises(ProblemError) as refusal:
        read_create_body(document, has_version=False)

    assert refusal.value.status == 422
    assert refusal.value.body["title"] == "Input validation failed"
    assert refusal.value.body["detail"] == detail


def test_all_errors_are_listed_at_once() -> None:
    """One 422 lists all errors."""
    with pytest.raises(ProblemError) as refusal:
        read_create_body({"model": "x"}, has_version=True)

    assert [field["description"] for field in refusal.value.body["invalid_fields"]] == [
        "version is required",
        "input is required",
        "Additional property model is not allowed",
    ]
