"""Builds the prediction object of the API for a given time."""

from __future__ import annotations

import zlib

from phoenix_compat.emulator.clock import timestamp
from phoenix_compat.emulator.json_type import JsonObject
from phoenix_compat.emulator.predictions.model import OutputShape
from phoenix_compat.emulator.predictions.prediction import Moment, Prediction
from phoenix_compat.emulator.predictions.run_logs import logs_at
from phoenix_compat.emulator.predictions.run_output import output_at, text_chunks
from phoenix_compat.emulator.schedule import Status


def prediction_document(
    prediction: Prediction, now_s: float, *, origin: str, retention_s: float
) -> JsonObject:
    """The response of GET /predictions/{id} at this time.

    Keys without a value yet (`started_at`, `completed_at`, `metrics`) are absent, not null.
    After `retention_s` a finished prediction has lost its input, output and logs.
    """
    moment = prediction.at(now_s)
    is_removed = is_data_removed(prediction, now_s, retention_s)
    document: JsonObject = {
        "id": prediction.id,
        "model": prediction.model.full_name,
        "version": prediction.version,
        "input": {} if is_removed else prediction.input,
        "logs": "" if is_removed else logs_at(prediction, moment),
        "output": None if is_removed else output_at(prediction, moment, origin=origin),
        "data_removed": is_removed,
        "error": _error(prediction) if moment.status is Status.FAILED else None,
        "source": "api",
        "status": moment.status.value,
        "created_at": created_at(prediction),
        "urls": _urls(prediction, origin),
    }
    return document | _optional_keys(prediction, moment)


def _error(prediction: Prediction) -> str | None:
    error = prediction.schedule.error
    return None if error is None else error.replace("{prompt}", prediction.prompt)


def answer_at_output(document: JsonObject) -> JsonObject:
    """The response of `Prefer: wait`: with output, without logs and metrics."""
    return {key: value for key, value in document.items() if key != "metrics"} | {"logs": ""}


def created_at(prediction: Prediction) -> str:
    """The `created_at` of the document, including the skew."""
    return timestamp(prediction.created_at_s + prediction.schedule.skew_s)


def is_data_removed(prediction: Prediction, now_s: float, retention_s: float) -> bool:
    """True for a finished prediction that is older than the retention time."""
    is_old = now_s - prediction.created_at_s >= retention_s
    return is_old and prediction.at(now_s).is_over


def _urls(prediction: Prediction, origin: str) -> dict[str, str]:
    here = f"{origin}/v1/predictions/{prediction.id}"
    return {
        "get": here,
        "cancel": f"{here}/cancel",
        "stream": f"{origin}/stream/{prediction.id}",
        "web": f"{origin}/__emu/predictions/{prediction.id}",
    }


def _optional_keys(prediction: Prediction, moment: Moment) -> JsonObject:
    skew_s = prediction.schedule.skew_s
    # Replicate shows 6 to 9 digits; here the number is pseudo-random but fixed per prediction.
    digits = 6 + zlib.crc32(prediction.id.encode()) % 4
    optional: JsonObject = {}
    if prediction.deployment is not None:
        optional["deployment"] = prediction.deployment
    if prediction.deadline_s is not None:
        optional["deadline"] = timestamp(prediction.deadline_s + skew_s)
    if moment.started_at_s is not None:
        optional["started_at"] = timestamp(moment.started_at_s + skew_s, digits)
    if moment.completed_at_s is not None:
        optional["completed_at"] = timestamp(moment.completed_at_s + skew_s, digits)
        optional["metrics"] = _metrics(prediction, moment, moment.completed_at_s)
    return optional


def _metrics(prediction: Prediction, moment: Moment, completed_at_s: float) -> JsonObject:
    metrics: JsonObject = {"total_time": round(completed_at_s - prediction.created_at_s, 9)}
    if moment.started_at_s is None:
        return metrics
    metrics["predict_time"] = round(completed_at_s - moment.started_at_s, 9)
    if moment.status is not Status.SUCCEEDED:
        return metrics
    if prediction.model.output is OutputShape.TEXT_CHUNKS:
        metrics["input_token_count"] = len(prediction.prompt.split())
        metrics["output_token_count"] = len(text_chunks(prediction))
    else:
        metrics["image_count"] = prediction.model.picture_count(prediction.input)
    return metrics
