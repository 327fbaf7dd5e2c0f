"""The table of all faults, by name. A new fault needs only a row here.

The stages `create`, `poll`, `list` and `cancel` affect one HTTP exchange, `outcome` the course of a
new prediction, `file` a download, `webhook` the webhooks of a new prediction, and `stream` one
connection to its stream.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import replace

from phoenix_compat.emulator.faults.fault import (
    Answer,
    AnswerFault,
    Fault,
    FaultyAnswer,
    FileFault,
    Hang,
    HttpAction,
    Reset,
    ScheduleChange,
    Stage,
    StreamFault,
    WebhookFault,
)
from phoenix_compat.emulator.schedule import LogsKind, OutputKind, Schedule, Status

_LOW_CREDIT = (
    "Request was throttled. Your rate limit for creating predictions is reduced to 6 requests per "
    "minute with a burst of 1 requests while you have less than $5.0 in credit. "
    "Your rate limit resets in ~{wait_s}s."
)
_HTML = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"


def _problem(status: int, detail: str, title: str | None = None, **extra: object) -> Answer:
    document = {"title": title} if title else {}
    return Answer(status, json.dumps(document | {"detail": detail, "status": status} | extra))


def _throttled(wait_s: int, *, in_body: bool = True, in_header: bool = True) -> Answer:
    if in_body:
        answer = _problem(429, _LOW_CREDIT.format(wait_s=wait_s), retry_after=wait_s)
    else:
        answer = _problem(429, "Request was throttled.")
    return replace(answer, headers=(("Retry-After", str(wait_s)),) if in_header else ())


def _page(status: int, title: str) -> Answer:
    return Answer(status, _HTML.format(title), "text/html; charset=utf-8")


# name -> (what the client sees, the action). Each is a fault of creates, and `poll_…` of polls.
_EXCHANGE: dict[str, tuple[str, HttpAction]] = {
    "429": ("429, retry_after 1 in body and header", _throttled(1)),
    "429_body": ("429, retry_after 1 in the body only", _throttled(1, in_header=False)),
    "429_header": ("429, Retry-After 1 in the header only", _throttled(1, in_body=False)),
    "429_huge": ("429, retry_after of a day", _throttled(86_400)),
    "429_zero": ("429, retry_after 0", _throttled(0)),
    "401": (
        "401, token refused",
        _problem(401, "You did not pass a valid authentication token", "Unauthenticated"),
    ),
    "402": (
        "402, no credit, with Replicate's billing text",
        _problem(
            402,
            "You have insufficient credit to run this model. Go to "
            "https://replicate.com/account/billing#billing to purchase credit.",
            "Insufficient credit",
        ),
    ),
    "403": (
        "403, not permitted",
        _problem(403, "You do not have permission to perform this action.", "Forbidden"),
    ),
    "404": ("404, not found", _problem(404, "The requested resource could not be found.")),
    "413": (
        "413, too large",
        _problem(413, "The request body is too large.", "Request entity too large"),
    ),
    "422": (
        "422, an input field is invalid",
        _problem(
            422,
            '- input.aspect_ratio: aspect_ratio must be one of the following: "1:1"\n',
            "Input validation failed",
            invalid_fields=[
                {
                    "type": "enum",
                    "field": "input.aspect_ratio",
                    "description": 'aspect_ratio must be one of the following: "1:1"',
                }
            ],
        ),
    ),
    "500": ("500 with a JSON problem", _problem(500, "Internal server error")),
    "502": ("502 with an HTML page", _page(502, "502 Bad Gateway")),
    "503": ("503 with an empty body", Answer(503, "", "text/plain")),
    "504": ("504 with an HTML page", _page(504, "504 Gateway Time-out")),
    "json_list": ("500 whose body is a JSON list", Answer(500, '["internal error"]')),
    "json_string": ("500 whose body is a JSON string", Answer(500, '"internal error"')),
    "html_200": (
        "200 with an HTML page, request not carried out",
        _page(200, "Log in to the network"),
    ),
    "hang": ("no answer, request not carried out", Hang()),
    "reset": ("connection reset, request not carried out", Reset()),
    "truncated": (
        "half of the JSON, with a matching Content-Length",
        FaultyAnswer(AnswerFault.TRUNCATED),
    ),
    "cut": ("half of the body, then the connection closes", FaultyAnswer(AnswerFault.CUT)),
    "invalid_json": ("200 labeled as JSON with invalid JSON", FaultyAnswer(AnswerFault.INVALID)),
    "slow_drip": (
        "the answer a few bytes at a time, over 3 s",
        FaultyAnswer(AnswerFault.DRIP, 3.0),
    ),
    "slow_answer": ("the answer 5 s late", FaultyAnswer(AnswerFault.DELAY, 5.0)),
}

# For creates only: the prediction exists, but the client does not get its id.
_LOST_ID: dict[str, tuple[str, HttpAction]] = {
    "hang_after": ("prediction created, but no answer", Hang(is_after=True)),
    "reset_after": ("prediction created, but the connection is reset", Reset(is_after=True)),
    "502_after": (
        "prediction created, but answered with 502",
        replace(_page(502, "Bad Gateway"), is_after=True),
    ),
}


def _end(ending: Status, error: str | None = None) -> ScheduleChange:
    return ScheduleChange(lambda schedule: replace(schedule, ending=ending, error=error))


def _output(output: OutputKind) -> ScheduleChange:
    return ScheduleChange(lambda schedule: replace(schedule, output=output))


def _logs(logs: LogsKind) -> ScheduleChange:
    return ScheduleChange(lambda schedule: replace(schedule, logs=logs))


def _skew(seconds: float) -> ScheduleChange:
    return ScheduleChange(lambda schedule: replace(schedule, skew_s=seconds))


def _start_slowly(schedule: Schedule) -> Schedule:
    return replace(schedule, starting_s=schedule.starting_s * 60)


_E005 = (
    "The input or output was flagged as sensitive. "
    "Please try again with different inputs. (E005) (uIJ6l3ruRD)"
)
_E003 = "Service is currently unavailable due to high demand. Please try again later. (E003) (b4kQ)"
_DIRECTOR = "Director: unexpected error handling prediction (E9828)"
_PA = "Prediction interrupted; please retry (code: PA)"

_SAFETY_SYSTEM = (
    "Your request was rejected by the safety system. If you believe this is an error, contact us "
    "and include the request ID."
)
_POLICIES = (
    "The response is blocked, as it may violate our policies. If you believe this is an error, "
    "please send feedback to your model support team."
)


def _filtered(output: OutputKind, logs: LogsKind) -> ScheduleChange:
    return ScheduleChange(lambda schedule: replace(schedule, output=output, logs=logs))


_OUTCOMES: dict[str, tuple[str, ScheduleChange]] = {
    "slow_start": ("starting takes 60 times as long", ScheduleChange(_start_slowly)),
    "stuck_starting": (
        "never leaves starting",
        ScheduleChange(lambda schedule: replace(schedule, starting_s=math.inf)),
    ),
    "stuck_processing": (
        "never leaves processing",
        ScheduleChange(lambda schedule: replace(schedule, run_s=math.inf)),
    ),
    "E005": ("failed: flagged as sensitive", _end(Status.FAILED, _E005)),
    "PA": ("failed: interrupted by the platform", _end(Status.FAILED, _PA)),
    "E003": ("failed: high demand", _end(Status.FAILED, _E003)),
    "director": ("failed: the platform's director", _end(Status.FAILED, _DIRECTOR)),
    "safety_system": ("failed: refused in OpenAI's words", _end(Status.FAILED, _SAFETY_SYSTEM)),
    "policies": ("failed: refused in Google's words", _end(Status.FAILED, _POLICIES)),
    "queue_limit": (
        "failed: the platform's queue is full",
        _end(Status.FAILED, "queue reached limit"),
    ),
    "error_quotes": (
        "failed with an error that quotes the prompt",
        _end(Status.FAILED, "ValueError: this prompt is not valid: {prompt}"),
    ),
    "error_null": ("failed with error null", _end(Status.FAILED)),
    "aborted": ("aborted before it started", _end(Status.ABORTED)),
    "canceled": ("canceled by someone else while running", _end(Status.CANCELED)),
    "status_queued": (
        'says "queued" in place of starting',
        ScheduleChange(lambda schedule: replace(schedule, waiting_status=Status.QUEUED)),
    ),
    "status_expired": (
        'ends as "expired", a status that Replicate does not have',
        _end(Status.EXPIRED),
    ),
    "output_null": ("succeeded with output null", _output(OutputKind.NULL)),
    "output_empty": ("succeeded with output []", _output(OutputKind.EMPTY_LIST)),
    "output_data_url": ("succeeded with a data: URL", _output(OutputKind.DATA_URL)),
    "output_dict": ("succeeded with an object of URLs", _output(OutputKind.DICT)),
    "output_two": ("succeeded with two URLs", _output(OutputKind.TWO_URLS)),
    "output_long_text": ("succeeded with 2 500 chunks of text", _output(OutputKind.LONG_TEXT)),
    "output_many_tokens": (
        "a text of 20 000 tokens, as they are written",
        _output(OutputKind.MANY_TOKENS),
    ),
    "output_odd_text": (
        "a text with line breaks, emoji, and lines that look like events, as it is written",
        _output(OutputKind.ODD_TEXT),
    ),
    "output_transcript": ("succeeded with a transcription", _output(OutputKind.TRANSCRIPT)),
    "output_label": ("succeeded with a label and a score", _output(OutputKind.LABEL)),
    "output_number": ("succeeded with a number", _output(OutputKind.NUMBER)),
    "filtered_one": (
        "succeeded with three pictures; a fourth was filtered",
        _filtered(OutputKind.THREE_URLS, LogsKind.LEFT_OUT),
    ),
    "filtered_black": (
        "succeeded with a black picture; only the logs say so",
        _filtered(OutputKind.MODEL, LogsKind.BLACK),
    ),
    "logs_quote": ("logs that quote the prompt", _logs(LogsKind.QUOTE)),
    "logs_download": ("the bar of a download, full at once", _logs(LogsKind.DOWNLOAD)),
    "logs_null": ("logs are null throughout", _logs(LogsKind.NULL)),
    "logs_cr": ("a progress bar that overwrites itself", _logs(LogsKind.CARRIAGE_RETURNS)),
    "logs_huge": ("logs of 5 MB", _logs(LogsKind.HUGE)),
    "clock_ahead": ("timestamps 10 minutes ahead", _skew(600.0)),
    "clock_behind": ("timestamps 10 minutes behind", _skew(-600.0)),
    "list_lag": (
        "missing from the list for the first 1.5 s",
        ScheduleChange(lambda schedule: replace(schedule, listed_after_s=1.5)),
    ),
}

_FILES: dict[str, FileFault] = {
    "file_404": FileFault.NOT_FOUND,
    "file_403": FileFault.FORBIDDEN,
    "file_500": FileFault.ERROR,
    "file_empty": FileFault.EMPTY,
    "file_html": FileFault.WRONG_TYPE,
    "file_octets": FileFault.MISLABELED,
    "file_redirect": FileFault.REDIRECT,
    "file_too_large": FileFault.TOO_LARGE,
    "file_endless": FileFault.ENDLESS,
    "file_stalled": FileFault.STALLED,
    "file_cut": FileFault.CUT,
}

_WEBHOOKS: dict[str, WebhookFault] = {
    "webhook_duplicate": WebhookFault.DUPLICATE,
    "webhook_reordered": WebhookFault.REORDERED,
    "webhook_late": WebhookFault.LATE,
    "webhook_bad_signature": WebhookFault.BAD_SIGNATURE,
    "webhook_old_timestamp": WebhookFault.OLD_TIMESTAMP,
    "webhook_never": WebhookFault.NEVER,
}


_STREAMS: dict[str, StreamFault] = {
    "stream_cut": StreamFault.CUT,
    "stream_repeat": StreamFault.REPEAT,
    "stream_lost": StreamFault.LOST,
    "stream_garbage": StreamFault.GARBAGE,
    "stream_endless": StreamFault.ENDLESS,
    "stream_slow": StreamFault.SLOW,
    "stream_error": StreamFault.ERROR,
}


def _exchange_rows(stage: Stage, names: Iterable[str]) -> list[Fault]:
    # Faults of creates have no prefix, because they are used most.
    prefix = "" if stage is Stage.CREATE else f"{stage}_"
    known = _EXCHANGE | _LOST_ID
    return [Fault(f"{prefix}{name}", stage, *known[name]) for name in names]


def _rows() -> list[Fault]:
    some = ("429", "500", "hang", "reset")
    return [
        *_exchange_rows(Stage.CREATE, (*_EXCHANGE, *_LOST_ID)),
        *_exchange_rows(Stage.POLL, _EXCHANGE),
        *_exchange_rows(Stage.LIST, some),
        *_exchange_rows(Stage.CANCEL, some),
        *(Fault(name, Stage.OUTCOME, *row) for name, row in _OUTCOMES.items()),
        *(Fault(name, Stage.FILE, fault.value, fault) for name, fault in _FILES.items()),
        *(Fault(name, Stage.WEBHOOK, fault.value, fault) for name, fault in _WEBHOOKS.items()),
        *_exchange_rows(Stage.STREAM, ("404", "500", "html_200", "hang", "reset")),
        *(Fault(name, Stage.STREAM, fault.value, fault) for name, fault in _STREAMS.items()),
    ]


FAULTS: dict[str, Fault] = {fault.name: fault for fault in _rows()}
