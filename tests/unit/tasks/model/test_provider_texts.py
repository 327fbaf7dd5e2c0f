"""Whose words are these? The provider's texts have codes, quotes of the user have none (C8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.tasks.model.prediction import PredictionSnapshot, PredictionState
from phoenix_compat.tasks.model.results.failure import Failure
from phoenix_compat.tasks.model.results.outcome import outcome
from phoenix_compat.tasks.model.results.provider_texts import (
    classify_error,
    is_filtered,
    users_words,
    without_words,
)
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.model.task_types import TASK_TYPES
from tests.unit.protocol.strategies import steady
from tests.unit.tasks.sample_tasks import CREATED_AT, make_snapshot, make_task

NOBODY: frozenset[str] = frozenset()
PICTURE = "https://replicate.delivery/a.jpg"
BLACK = (
    "Potential NSFW content was detected in one or more images. A black image will be returned "
    "instead. Try again with a different prompt and/or seed."
)

# One known text for each row of the table, and the code that it stands for.
TEXTS = {
    "The input or output was flagged as sensitive. Please try again with different inputs. (E005) "
    "(uIJ6l3ruRD)": "content_policy",
    "Your request was rejected by the safety system. If you believe this is an error, contact us "
    "and include the request ID req_1.": "content_policy",
    "Error code: 400 - {'error': {'message': 'Your request was rejected as a result of our safety "
    "system. Your prompt may contain text that is not allowed.'}}": "content_policy",
    "The response is blocked, as it may violate our policies. If you believe this is an error, "
    "please send feedback.": "content_policy",
    "Exception: NSFW content detected. Try running it again, or try a different prompt.": (
        "content_policy"
    ),
    "Content moderated": "content_policy",
    "CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 79 GiB total capacity)": (
        "out_of_memory"
    ),
    "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 20 MiB": "out_of_memory",
    "Service is currently unavailable due to high demand. Please try again later. (E003) (b4kQ)": (
        "provider_unavailable"
    ),
    "Prediction interrupted; please retry (code: PA)": "provider_unavailable",
    "Director: unexpected error handling prediction (E9828)": "provider_unavailable",
    "An error occurred while processing your request (E001)": "provider_unavailable",
    "queue reached limit": "not_started",
    "Insufficient credits. Go to https://x.example/billing": "provider_account",
    "Something that nobody has seen before (E004) (x7Qz)": "provider_unavailable",
    "E1001: the model ran out": "out_of_memory",
}

# How models quote what they were given.
QUOTES: list[Callable[[str], str]] = [
    "Invalid prompt: {}".format,
    "ValueError: prompt {!r} is too long".format,
    "{} is not a valid prompt".format,
    "cannot parse '{}'.".format,
    "Prompt: {}\nTraceback (most recent call last):\nKeyError: 7".format,
    "invalid literal for int(): {}".format,
]


def ordered(prompt: str) -> Task:
    """A running task with this prompt."""
    task = make_task(TaskStatus.RUNNING)
    words = {"prompt": prompt}
    return msgspec.structs.replace(
        task, input_data={"type": "image", **words}, provider_input={**words}
    )


def code_of(task: Task, snapshot: PredictionSnapshot) -> str:
    """The code of a failure, or "completed"."""
    result: Any = outcome(task, TASK_TYPES["image"], snapshot, now=CREATED_AT, is_overdue=False)
    return result.code if isinstance(result, Failure) else "completed"


@pytest.mark.parametrize(("text", "code"), TEXTS.items())
def test_a_text_of_the_provider_has_a_code(text: str, code: str) -> None:
    """C5, C13: the whole text is known, with its codes at the end."""
    verdict = classify_error(text, NOBODY)

    assert verdict is not None
    assert verdict.code == code


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("quote", QUOTES)
def test_a_quoted_text_has_none(text: str, quote: Callable[[str], str]) -> None:
    """C8: a user who writes a text of the provider's gets the code that anybody gets."""
    snapshot = make_snapshot(PredictionState.FAILED, error_text=quote(text))
    plain = make_snapshot(PredictionState.FAILED, error_text=quote("a cat"))

    assert code_of(ordered(text), snapshot) == code_of(ordered("a cat"), plain) == "model_failed"


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("prompt", TEXTS)
def test_a_prompt_does_not_change_the_code_of_a_failure(text: str, prompt: str) -> None:
    """C8: whatever the prompt is, the provider's own text keeps its code."""
    snapshot = make_snapshot(PredictionState.FAILED, error_text=text)

    assert code_of(ordered(prompt), snapshot) == TEXTS[text]


@pytest.mark.parametrize(
    "text", [*TEXTS, BLACK, "NSFW content detected", "Total safe images: 0 out of 1"]
)
@pytest.mark.parametrize(
    "logs", ["Using prompt: {}\n", "{}\n100%|##########| 4/4\n", "loading\nprompt='{}'\n", "{}"]
)
def test_a_success_that_quotes_the_user_stays_one(text: str, logs: str) -> None:
    """C8: what the user wrote may stand anywhere in the logs of a success."""
    snapshot = make_snapshot(PredictionState.SUCCEEDED, output=PICTURE, logs=logs.format(text))

    assert code_of(ordered(text), snapshot) == "completed"


@steady
@given(st.text(max_size=60), st.sampled_from([*TEXTS, BLACK]), st.text(max_size=60))
def test_a_prompt_around_a_known_text(before: str, text: str, after: str) -> None:
    """C8: the same with anything around it, in the prompt and so in the quote."""
    prompt = f"{before}{text}{after}".strip()
    task = ordered(prompt)
    failed = make_snapshot(PredictionState.FAILED, error_text=f"Invalid prompt: {prompt}")
    succeeded = make_snapshot(PredictionState.SUCCEEDED, output=PICTURE, logs=f"{prompt}\n")

    assert code_of(task, failed) == "model_failed"
    assert code_of(task, succeeded) == "completed"


@pytest.mark.parametrize(
    ("files", "logs", "expected"),
    [
        (3, "NSFW content detected in image 2\n", False),
        (1, "NSFW content detected in image 2\n", False),
        (1, f"loading\n{BLACK}\n", True),
        (1, "NSFW content detected\n", True),
        (4, f"{BLACK}\n", False),
        (2, "Total safe images: 0 out of 2\n", True),
        (2, "Total safe images: 1 out of 2\n", False),
        (1, "the words NSFW content detected in the middle\n", False),
    ],
)
def test_filtered_pictures(files: int, logs: str, expected: bool) -> None:
    """C1, C2: good pictures are kept, and a single black one is refused."""
    assert is_filtered(logs, files, NOBODY) is expected


def test_the_words_of_an_input() -> None:
    """All strings and all names count, however deep."""
    words = users_words({"prompt": " a cat ", "more": [{"style": "oil", "n": 3}], "": "x"})

    assert words == {"prompt", "a cat", "more", "style", "oil", "n", "x"}


def test_the_text_for_the_operator_has_no_words_of_the_user() -> None:
    """The provider's text is kept for the log, on one line, without what the user wrote."""
    failed = make_snapshot(
        PredictionState.FAILED, error_text="KeyError:\n my secret plan, in 'my secret plan'"
    )

    result = outcome(
        ordered("my secret plan"),
        TASK_TYPES["image"],
        failed,
        now=CREATED_AT,
        is_overdue=False,
    )

    assert isinstance(result, Failure)
    assert result.provider_text == "KeyError: [input], in '[input]'"
    assert "provider_text" not in result.error_data
    assert len(without_words("x" * 2_000, NOBODY)) == 300
