"""GET /files/{id}.{ext}: the bytes of an output, or what a file fault makes of them."""

from __future__ import annotations

from typing import assert_never

from aiohttp import web

from phoenix_compat.emulator.faults.fault import FileTrick, Stage
from phoenix_compat.emulator.pictures.picture import CONTENT_TYPES, PictureRequest
from phoenix_compat.emulator.pictures.picture_size import picture_size
from phoenix_compat.emulator.predictions.prediction import Prediction
from phoenix_compat.emulator.predictions.run_output import parse_file_name
from phoenix_compat.emulator.problem import ProblemError, not_found
from phoenix_compat.emulator.web.misbehavior import cut_in_half, hang, is_gone, reset
from phoenix_compat.emulator.web.request_context import request_marks, state_of

_CHUNK = bytes(256 * 1024)
_LOOPBACK = "127.0.0.1"


async def get_picture(request: web.Request) -> web.StreamResponse:
    """The picture; 404 before there is one and after its data was removed."""
    state = state_of(request)
    state.counts["downloads"] += 1
    prediction, order = _order(request)
    marks = (*request_marks(request), *prediction.marks)
    if "followed" in request.query:
        # The other end of the redirect fault: whoever comes here went where it was sent.
        state.counts["redirects_followed"] += 1
        fault = None
    else:
        fault = state.faults.pick(Stage.FILE, marks, prediction.id)
    picture = await state.picture_cache.picture(order)
    if fault is not None and isinstance(fault.action, FileTrick):
        return await _trick(request, fault.action, picture, order.format)
    return web.Response(body=picture, content_type=CONTENT_TYPES[order.format])


def _order(request: web.Request) -> tuple[Prediction, PictureRequest]:
    state = state_of(request)
    parsed = parse_file_name(request.match_info["file"])
    if parsed is None:
        raise not_found()
    prediction_id, index, file_format = parsed
    prediction = state.predictions.find(prediction_id)
    if prediction is None or state.is_data_removed(prediction):
        raise not_found()
    if not prediction.at(state.clock.now_s()).has_output:
        raise not_found()
    width, height = picture_size(prediction.input)
    seed = str(prediction.input.get("seed", ""))
    return prediction, PictureRequest(prediction.prompt, width, height, file_format, index, seed)


async def _trick(
    request: web.Request, trick: FileTrick, picture: bytes, file_format: str
) -> web.StreamResponse:
    content_type = CONTENT_TYPES[file_format]
    match trick:
        case FileTrick.NOT_FOUND:
            raise not_found()
        case FileTrick.FORBIDDEN:
            raise ProblemError(403, "Access denied.")
        case FileTrick.ERROR:
            raise ProblemError(500, "Internal server error")
        case FileTrick.EMPTY:
            return web.Response(content_type=content_type)
        case FileTrick.WRONG_TYPE:
            page = "<!DOCTYPE html><title>Moved</title><p>This picture has moved.</p>"
            return web.Response(text=page, content_type="text/html")
        case FileTrick.MISLABELED:
            return web.Response(body=picture, content_type="application/octet-stream")
        case FileTrick.REDIRECT:
            return _redirect(request)
        case FileTrick.TOO_LARGE | FileTrick.ENDLESS:
            return await _flood(request, content_type, is_declared=trick is FileTrick.TOO_LARGE)
        case FileTrick.STALLED:
            return await _stall(request, picture, content_type)
        case FileTrick.CUT:
            return await cut_in_half(request, picture, content_type)
        case _:
            assert_never(trick)


def _redirect(request: web.Request) -> web.Response:
    # Another name for this very machine: another host to the client, yet nobody leaves loopback.
    other = "localhost" if request.url.host == _LOOPBACK else _LOOPBACK
    target = request.url.with_host(other).update_query(followed="1")
    return web.Response(status=302, headers={"Location": str(target)})


async def _flood(
    request: web.Request, content_type: str, *, is_declared: bool
) -> web.StreamResponse:
    size_bytes = state_of(request).settings.oversize_bytes
    response = web.StreamResponse(headers={"Content-Type": content_type})
    if is_declared:
        response.content_length = size_bytes
    await response.prepare(request)
    left = size_bytes
    while left > 0 and not is_gone(request):
        await response.write(_CHUNK[:left])
        left -= len(_CHUNK)
    return response


async def _stall(request: web.Request, picture: bytes, content_type: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": content_type})
    response.content_length = len(picture)
    await response.prepare(request)
    await response.write(picture[: len(picture) // 2])
    await hang(request)
    reset(request)
    return response
