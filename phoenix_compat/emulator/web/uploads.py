"""Handlers of POST, GET and DELETE /files, the files that clients upload as inputs."""

from __future__ import annotations

import hmac
import json
import re
from dataclasses import dataclass

from aiohttp import BodyPartReader, web

from phoenix_compat.bounded import TOO_DEEP, is_too_deep
from phoenix_compat.emulator.json_type import JsonObject
from phoenix_compat.emulator.problem import (
    InvalidField,
    ProblemError,
    invalid_input,
    invalid_request,
    not_found,
    too_large,
)
from phoenix_compat.emulator.signature import download_signature
from phoenix_compat.emulator.uploads import Upload, Uploads
from phoenix_compat.emulator.web.request_context import origin_of, state_of

_MAX_NAME_BYTES = 255
_MAX_FIELD_BYTES = 64 * 1024
_PART_NAMES = ("content", "filename", "type", "metadata")
_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+")
_UNKNOWN_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class _Part:
    content: bytes
    filename: str
    content_type: str


async def create_upload(request: web.Request) -> web.Response:
    """POST /files, multipart: `content`, and optionally `filename`, `type`, `metadata`."""
    state = state_of(request)
    if not request.content_type.startswith("multipart/"):
        raise invalid_request("The body must be multipart/form-data with a part named content")
    upload = await _read(request)
    state.uploads.add(upload)
    return web.json_response(upload.document(origin_of(request)), status=201)


async def list_uploads(request: web.Request) -> web.Response:
    """GET /files: all files on one page, newest first."""
    uploads = _uploads(request).newest_first()
    documents = [upload.document(origin_of(request)) for upload in uploads]
    return web.json_response({"previous": None, "next": None, "results": documents})


async def get_upload(request: web.Request) -> web.Response:
    """GET /files/{id}."""
    return web.json_response(_upload(request).document(origin_of(request)))


async def delete_upload(request: web.Request) -> web.Response:
    """DELETE /files/{id}."""
    if not _uploads(request).remove(request.match_info["id"]):
        raise not_found()
    return web.Response(status=204)


async def download_upload(request: web.Request) -> web.Response:
    """GET /files/{id}/download?owner&expiry&signature: the bytes."""
    state, upload = state_of(request), _upload(request)
    owner, expiry = request.query.get("owner", ""), request.query.get("expiry", "")
    expected = download_signature(state.settings.webhook_secret, owner, upload.id, expiry)
    given = request.query.get("signature", "")
    is_signed = hmac.compare_digest(expected.encode(), given.encode())
    if not is_signed or not expiry.isdecimal() or int(expiry) < state.clock.now_s():
        raise ProblemError(403, "The download link is not valid, or it has expired.")
    return web.Response(body=upload.content, content_type=upload.content_type)


def _uploads(request: web.Request) -> Uploads:
    state = state_of(request)
    state.uploads.forget_expired(state.clock.now_s())
    return state.uploads


def _upload(request: web.Request) -> Upload:
    upload = _uploads(request).find(request.match_info["id"])
    if upload is None:
        raise not_found()
    return upload


async def _read(request: web.Request) -> Upload:
    state = state_of(request)
    try:
        parts = await _parts(request, state.settings.max_upload_bytes)
    except ValueError as error:
        raise invalid_request(f"The body is not valid multipart/form-data: {error}") from error
    content = parts.get("content")
    if content is None:
        raise invalid_input([InvalidField("required", "", "content is required")])
    name = _text(parts, "filename") or content.filename
    if len(name.encode(errors="replace")) > _MAX_NAME_BYTES:
        raise invalid_request(f"filename: at most {_MAX_NAME_BYTES} bytes")
    content_type = _text(parts, "type") or content.content_type
    return Upload(
        id=state.new_id(),
        name=name,
        content_type=content_type if _TYPE.fullmatch(content_type) else _UNKNOWN_TYPE,
        content=content.content,
        created_at_s=state.clock.now_s(),
        metadata=_metadata(_text(parts, "metadata") or "{}"),
    )


async def _parts(request: web.Request, limit_bytes: int) -> dict[str, _Part]:
    """The parts of the body by name. Raises ValueError when the body is not valid multipart."""
    parts: dict[str, _Part] = {}
    async for part in await request.multipart():
        if isinstance(part, BodyPartReader) and part.name in _PART_NAMES:
            part_limit_bytes = limit_bytes if part.name == "content" else _MAX_FIELD_BYTES
            content_type = part.headers.get("Content-Type", _UNKNOWN_TYPE).partition(";")[0]
            content = await _read_part(part, part_limit_bytes)
            parts[part.name] = _Part(content, part.filename or "", content_type)
    return parts


def _text(parts: dict[str, _Part], name: str) -> str:
    return parts[name].content.decode(errors="replace") if name in parts else ""


async def _read_part(part: BodyPartReader, limit_bytes: int) -> bytes:
    read = bytearray()
    while chunk := await part.read_chunk(64 * 1024):
        read += chunk
        if len(read) > limit_bytes:
            raise too_large(limit_bytes)
    return bytes(read)


def _metadata(text: str) -> JsonObject:
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid_request("metadata: must be a JSON object") from error
    if is_too_deep(metadata):
        raise invalid_request(f"metadata: {TOO_DEEP}")
    if not isinstance(metadata, dict):
        raise invalid_request("metadata: must be a JSON object")
    return metadata
