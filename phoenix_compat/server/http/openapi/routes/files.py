"""The routes of files: those that clients send, and those that tasks have made."""

from __future__ import annotations

from typing import Any, Final

from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.server.http.openapi.described import Answer, Body, Example, Parameter, Route
from phoenix_compat.server.http.openapi.routes.tasks import PICTURE
from phoenix_compat.server.http.schemas.files import UploadedFile

UPLOAD_SHA256: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

_BINARY: Final[dict[str, Any]] = {}
_FORM: Final = {
    "type": "object",
    "properties": {"file": {"type": "string", "contentMediaType": "application/octet-stream"}},
    "required": ["file"],
}
_STORED_TYPES: Final = ("image/*", "video/*", "audio/*", "application/octet-stream")
_FILE_HEADERS: Final = ("ETag", "Cache-Control")


def _stored(path: str, name: str, summary: str, text: str) -> Route:
    return Route(
        method="GET",
        path=path,
        name=name,
        tag="files",
        summary=summary,
        text=text,
        parameters=(
            Parameter(
                "name",
                "path",
                "The hash of the content and an extension, as in the links of results.",
                {"type": "string", "examples": [PICTURE]},
                is_required=True,
            ),
            Parameter("Range", "header", "Ask for a part: `bytes=0-1023`.", {"type": "string"}),
            Parameter("If-None-Match", "header", "ETags that the client has.", {"type": "string"}),
            Parameter("If-Match", "header", "ETags that the file must have.", {"type": "string"}),
        ),
        answers=(
            Answer(200, "The file.", content_types=_STORED_TYPES, headers=_FILE_HEADERS),
            Answer(
                206,
                "A part of the file.",
                content_types=_STORED_TYPES,
                headers=(*_FILE_HEADERS, "Content-Range"),
            ),
            Answer(304, "The client has the file.", headers=_FILE_HEADERS),
            Answer(416, "The file has no such part.", headers=("Content-Range",)),
        ),
        problems=("file-not-found", "precondition-failed", "files-unavailable", "too-many-files"),
        example=Example(path=path.replace("{name}", PICTURE), save_as="monk.png"),
    )


FILE_ROUTES: Final = (
    Route(
        method="POST",
        path="/api/files",
        name="sendFile",
        tag="files",
        summary="Send a file for tasks",
        text="The bytes of a picture, an audio or a video, or a form with one file. Its `id` can "
        "be written where a model takes a file. The same file has the same `id` when it is sent "
        "again. A file that no task uses is deleted a day after it was last sent or used.",
        scope=Scope.CREATE,
        body=Body(
            "The file. Its name is ignored, and its type is found by its first bytes.",
            content_types={
                "image/*": _BINARY,
                "audio/*": _BINARY,
                "video/*": _BINARY,
                "application/octet-stream": _BINARY,
                "multipart/form-data": _FORM,
            },
        ),
        answers=(Answer(201, "The file is stored.", UploadedFile),),
        problems=(
            "bad-form",
            "unsupported-file",
            "invalid-file",
            "quota-reached",
            "files-unavailable",
            "storage-full",
            "too-many-files",
        ),
        example=Example(
            path="/api/files",
            headers={"Content-Type": "image/jpeg"},
            file="photo.jpg",
            status=201,
            answer={
                "id": f"upload:{UPLOAD_SHA256}",
                "url": f"http://127.0.0.1:4000/files/{UPLOAD_SHA256}.jpg",
                "content_type": "image/jpeg",
                "size_bytes": 183204,
            },
        ),
    ),
    _stored(
        "/files/{name}",
        "readFile",
        "Read a file",
        "A file of a result, or one that a client sent. Whoever knows its name may read it; it "
        "can be kept for ever, because its content never changes.",
    ),
    _stored(
        "/files/thumbnails/{name}",
        "readThumbnail",
        "Read the thumbnail of a picture",
        "A small copy of a picture, as WebP.",
    ),
)
