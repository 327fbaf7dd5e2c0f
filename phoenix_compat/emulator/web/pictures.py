"""GET /files/{id}.{ext}: an output file, or what a file fault sends instead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias, assert_never

from aiohttp import web

from phoenix_compat.emulator.faults.fault import FileFault, Stage
from phoenix_compat.emulator.inputs.source_files import SourceFiles
from phoenix_compat.emulator.pictures.picture_cache import PictureCache
from phoenix_compat.emulator.pictures.picture_request import CONTENT_TYPES, PictureRequest
from phoenix_compat.emulator.pictures.picture_size import picture_size
from phoenix_compat.emulator.predictions.prediction import Prediction
from phoenix_compat.emulator.predictions.run_output import parse_file_name, ready_pictures
from phoenix_compat.emulator.problem import ProblemError, not_found
from phoenix_compat.emulator.web.fault_response import cut_in_half, hang, is_disconnected, reset
from phoenix_compat.emulator.web.request_context import fault_specs_of, state_of

OutputFile: TypeAlias = Callable[
    [Prediction, PictureRequest, SourceFiles, PictureCache], Awaitable[bytes]
]

_CHUNK = bytes(256 * 1024)
_LOOPBACK = "127.0.0.1"


async def get_picture(request: web.Request) -> web.StreamResponse:
    """The picture; 404 before it exists and after its data has been removed."""
    state = state_of(request)
    state.counts["downloads"] += 1
    prediction, picture_request = _picture_request(request)
    fault_specs = (*fault_specs_of(request), *prediction.fault_specs)
    if "followed" in request.query:
        # The target of the `file_redirect` fault: this client has followed the redirect.
        state.counts["redirects_followed"] += 1
        fault = None
    else:
        fault = state.faults.pick(Stage.FILE, fault_specs, prediction.id)
    output_file = await asyncio.to_thread(_output_file)
    picture = await output_file(prediction, picture_request, state.sources, state.picture_cache)
    if fault is not None and isinstance(fault.action, FileFault):
        return await _faulty_file(request, fault.action, picture, picture_request.format)
    return web.Response(body=picture, content_type=CONTENT_TYPES[picture_request.format])


def _output_file() -> OutputFile:
    """The function that makes a file; importing it the first time takes a while."""
    from phoenix_compat.emulator.inputs.output_file import output_file  # noqa: PLC0415

    return output_file


def _picture_request(request: web.Request) -> tuple[Prediction, PictureRequest]:
    state = state_of(request)
    parsed = parse_file_name(request.match_info["file"])
    if parsed is None:
        raise not_found()
    prediction_id, index, file_format = parsed
    prediction = state.predictions.find(prediction_id)
    if prediction is None or state.is_data_removed(prediction):
        raise not_found()
    moment = prediction.at(state.clock.now_s())
    if not moment.has_output and index >= ready_pictures(prediction, moment):
        raise not_found()
    width, height = picture_size(prediction.input)
    seed = str(prediction.input.get("seed", ""))
    return prediction, PictureRequest(prediction.prompt, width, height, file_format, index, seed)


async def _faulty_file(
    request: web.Request, fault: FileFault, picture: bytes, file_format: str
) -> web.StreamResponse:
    content_type = CONTENT_TYPES[file_format]
    match fault:
        case FileFault.NOT_FOUND:
            raise not_found()
        case FileFault.FORBIDDEN:
            raise ProblemError(403, "Access denied.")
        case FileFault.ERROR:
            raise ProblemError(500, "Internal server error")
        case FileFault.EMPTY:
            return web.Response(content_type=content_type)
        case FileFault.WRONG_TYPE:
            page = "<!DOCTYPE html><title>Moved</title><p>This picture has moved.</p>"
            return web.Response(text=page, content_type="text/html")
        case FileFault.MISLABELED:
            return web.Response(body=picture, content_type="application/octet-stream")
        case FileFault.REDIRECT:
            return _redirect(request)
        case FileFault.TOO_LARGE | FileFault.ENDLESS:
            return await _send_oversized(
                request, content_type, is_declared=fault is FileFault.TOO_LARGE
            )
        case FileFault.STALLED:
            return await _stall(request, picture, content_type)
        case FileFault.CUT:
            return await cut_in_half(request, picture, content_type)
        case _:
            assert_never(fault)


def _redirect(request: web.Request) -> web.Response:
    # Another name of this machine: a different host for the client, but still loopback.
    other = "localhost" if request.url.host == _LOOPBACK else _LOOPBACK
    target = request.url.with_host(other).update_query(followed="1")
    return web.Response(status=302, headers={"Location": str(target)})


async def _send_oversized(
    request: web.Request, content_type: str, *, is_declared: bool
) -> web.StreamResponse:
    size_bytes = state_of(request).settings.oversize_bytes
    response = web.StreamResponse(headers={"Content-Type": content_type})
    if is_declared:
        response.content_length = size_bytes
    await response.prepare(request)
    left_bytes = size_bytes
    while left_bytes > 0 and not is_disconnected(request):
        await response.write(_CHUNK[:left_bytes])
        left_bytes -= len(_CHUNK)
    return response


async def _stall(request: web.Request, picture: bytes, content_type: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": content_type})
    response.content_length = len(picture)
    await response.prepare(request)
    await response.write(picture[: len(picture) // 2])
    await hang(request)
    reset(request)
    return response
