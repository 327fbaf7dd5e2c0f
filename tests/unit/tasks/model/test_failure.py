"""The provider's error texts become codes and are not shown to clients."""

from __future__ import annotations

import pytest

from phoenix_compat.tasks.model.results.failure import (
    TEXTS,
    failure,
    prediction_failure,
    public_text,
)


@pytest.mark.parametrize(
    ("error_text", "code"),
    [
        ("The input or output was flagged as sensitive. (E005) (uIJ6l3ruRD)", "content_policy"),
        ("NSFW content detected. Try another prompt.", "content_policy"),
        ("Service is unavailable due to high demand. (E003) (b4kQ)", "provider_unavailable"),
        ("Service is temporarily unavailable. (E004)", "provider_unavailable"),
        ("Prediction interrupted; please retry (code: PA)", "provider_unavailable"),
        ("Director: unexpected error handling prediction (E9828)", "provider_unavailable"),
        ("Model timed out while starting (E6716)", "provider_unavailable"),
        ("An error occurred while processing your request (E001)", "provider_unavailable"),
        ("Insufficient credits. Go to https://x.example/billing", "provider_account"),
        ("Invalid API key (E002)", "provider_account"),
        ("E1001: the model ran out of memory", "out_of_memory"),
        ("CUDA out of memory. Tried to allocate 2 GiB", "out_of_memory"),
        ("list index out of range", "model_failed"),
        ("", "model_failed"),
    ],
)
def test_error_texts_have_codes(error_text: str, code: str) -> None:
    """Each known error text has a stable code with its default sentence."""
    failed = prediction_failure(error_text, logs="")

    assert failed == failure(code)


@pytest.mark.parametrize(
    ("error_text", "max_repeats"),
    [
        ("Prediction interrupted; please retry (code: PA)", 2),
        ("Service is unavailable due to high demand. (E003) (b4kQ)", 2),
        ("Service is temporarily unavailable. (E004)", 2),
        ("Director: unexpected error handling prediction (E9828)", 2),
        ("Model timed out while starting (E6716)", 1),
        ("An error occurred while processing your request (E001)", 1),
        ("", 1),
        ("The input was flagged as sensitive. (E005)", 0),
        ("Insufficient credits", 0),
        ("CUDA out of memory", 0),
        ("list index out of range", 0),
    ],
)
def test_only_failures_of_the_platform_are_repeated(error_text: str, max_repeats: int) -> None:
    """Failures because of policy, input, account or memory are not repeated."""
    assert prediction_failure(error_text, logs="").max_repeats == max_repeats


def test_logs_are_used_when_the_error_is_empty() -> None:
    """The code of a failure without an error text comes from the end of the logs."""
    assert prediction_failure("", "loading\nNSFW content detected\n").code == "content_policy"


def test_default_sentences_contain_nothing_private() -> None:
    """No sentence mentions billing, tokens or URLs."""
    for text in TEXTS.values():
        assert public_text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Go to https://replicate.com/account/billing#billing",
        "You have insufficient credit",
        "token r8_abcdef is bad",
        "Traceback (most recent call last): …",
        "data:image/png;base64,AAAA",
    ],
)
def test_private_texts_are_not_shown(text: str) -> None:
    """Texts about accounts, secrets or internals are hidden."""
    assert public_text(text) is None


def test_a_long_text_is_cut() -> None:
    """A text with a long list of allowed values is cut to 300 characters."""
    shown = public_text("- aspect_ratio must be one of " + "1:1, " * 200)

    assert shown is not None
    assert len(shown) == 300
    assert shown.startswith("aspect_ratio")
