"""The setting `on_task_webhooks`: what it must be, and where its secrets do not appear."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from phoenix_compat.redaction import live_secrets
from phoenix_compat.server.process.config.frozen_settings import FrozenSettings, unpack_settings
from phoenix_compat.server.process.settings.configuration import load_configuration
from phoenix_compat.server.process.settings.setting_errors import SettingsError

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PRIVATE: Final = {"url": "http://127.0.0.1:9/", "secret": SECRET, "allow_private": True}
SHORT_SECRET: Final = (
    'secret must be "whsec_" and the base64 of 24 to 64 random bytes, as from: '
    "openssl rand -base64 32"
)
WRONG: Final = {
    "a private address": (
        {"url": "https://10.0.0.7/", "secret": SECRET},
        "url is a private address; choose another, or set allow_private",
    ),
    "without TLS": (
        {"url": "http://example.com/", "secret": SECRET},
        "url must begin with https://, or allow_private must be true",
    ),
    "a short secret": (
        {"url": "https://example.com/", "secret": "whsec_c2hvcnQ="},
        SHORT_SECRET,
    ),
    "no secret": ({"url": "https://example.com/"}, "secret is missing"),
    "a typing error": (
        {"url": "https://example.com/", "secret": SECRET, "event": []},
        "event is not known here; docs/other-backends.md says what is",
    ),
    "an event that is none": (
        {"url": "https://example.com/", "secret": SECRET, "events": ["done"]},
        "events: 'done' must be one of queued, running, completed, failed",
    ),
}


def environment_of(*hooks: Any) -> dict[str, str]:
    """The environment that names these webhooks."""
    return {"PHOENIX_COMPAT_ON_TASK_WEBHOOKS": json.dumps(hooks)}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_webhook_is_said_without_its_secret(name: str) -> None:
    """By the setting, with what to write instead."""
    entry, reason = WRONG[name]

    with pytest.raises(SettingsError) as refused:
        load_configuration({}, None, environment_of(entry))

    assert refused.value.problems == (f"PHOENIX_COMPAT_ON_TASK_WEBHOOKS: {reason}",)
    assert SECRET not in str(refused.value)


def test_two_webhooks_need_two_names() -> None:
    """Events are kept by the name."""
    with pytest.raises(SettingsError, match="each webhook needs a name of its own"):
        load_configuration({}, None, environment_of(PRIVATE, PRIVATE))
    load_configuration({}, None, environment_of(PRIVATE, {**PRIVATE, "name": "second"}))


def test_the_secret_of_a_webhook_is_masked() -> None:
    """Where the settings are shown, and in what the workers are logged with."""
    found = load_configuration({}, None, environment_of(PRIVATE))

    shown = found.shown("on_task_webhooks")

    assert shown == (
        '[{ name = "default", url = "http://127.0.0.1:9/", secret = "**********", '
        'events = ["completed", "failed"], allow_private = true }]'
    )
    assert live_secrets.redacted(f"it is {SECRET}") == "it is [FILTERED]"


def test_workers_get_the_webhooks_with_their_secrets() -> None:
    """As the supervisor has read them."""
    found = load_configuration({}, None, environment_of(PRIVATE))

    unpacked = unpack_settings(FrozenSettings(found.settings, lambda _settings: None).pack())

    assert unpacked.on_task_webhooks == found.settings.on_task_webhooks
