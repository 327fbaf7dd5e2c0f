"""A model of the catalog: its input fields, its output and its API document."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from phoenix_compat.emulator.json_type import JsonObject
from phoenix_compat.emulator.predictions.model_input import InputField, input_schemas


class OutputShape(StrEnum):
    """The form of a model's output."""

    URI = "one URI"
    URI_LIST = "a list of URIs"
    URI_ITERATOR = "a list of URIs, which appear one by one"
    TEXT_CHUNKS = "a list of text chunks"
    NAMED_URIS = "an object of URIs"
    TRANSCRIPT = "an object with a transcription"


class Use(StrEnum):
    """What a model does with its input."""

    DRAW = "draws a picture"
    EDIT = "changes pictures, or draws one without them"
    UPSCALE = "enlarges a picture"
    CUT_OUT = "removes the background of a picture"
    WRITE = "answers, also about pictures"
    TRANSCRIBE = "writes down what is said"
    FILM = "makes a video, of a picture if it gets one"
    SPEAK = "says a text"


# The limit for community models, which accept any number of steps.
_MAX_STEPS = 500

_URI: JsonObject = {"type": "string", "format": "uri"}
_OUTPUT_SCHEMAS: dict[OutputShape, JsonObject] = {
    OutputShape.URI: {"title": "Output", **_URI},
    OutputShape.URI_LIST: {"title": "Output", "type": "array", "items": _URI},
    OutputShape.URI_ITERATOR: {
        "title": "Output",
        "type": "array",
        "items": _URI,
        "x-cog-array-type": "iterator",
    },
    OutputShape.TEXT_CHUNKS: {
        "title": "Output",
        "type": "array",
        "items": {"type": "string"},
        "x-cog-array-type": "iterator",
        "x-cog-array-display": "concatenate",
    },
    OutputShape.NAMED_URIS: {
        "title": "Output",
        "type": "object",
        "properties": {"image": _URI, "mask": _URI},
    },
    OutputShape.TRANSCRIPT: {
        "title": "Output",
        "type": "object",
        "properties": {
            "segments": {"type": "array", "items": {"type": "object"}},
            "transcription": {"type": "string"},
            "detected_language": {"type": "string"},
        },
    },
}


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the catalog.

    Attributes:
        owner, name: the two parts of `owner/name`.
        default_steps: the number of steps of its progress bar; 0 means that it logs nothing.
        is_official: the model runs without a version, and its version is then `hidden`.
        is_closed: unknown input keys are refused.
        is_disabled: every create is refused with 422 "Version disabled".
        count_field: the input key for the number of pictures.
        file_field: the input key for its file or files; "" if it reads none.
    """

    owner: str
    name: str
    output: OutputShape
    fields: tuple[InputField, ...]
    description: str = ""
    default_steps: int = 0
    is_official: bool = True
    is_closed: bool = False
    is_disabled: bool = False
    count_field: str = "num_outputs"
    use: Use = Use.DRAW
    file_field: str = ""

    @property
    def full_name(self) -> str:
        """`owner/name`, as in prediction documents."""
        return f"{self.owner}/{self.name}"

    @property
    def version_id(self) -> str:
        """64 hex digits, the same in every run."""
        return hashlib.sha256(f"version of {self.full_name}".encode()).hexdigest()

    def steps(self, model_input: JsonObject) -> int:
        """The number of steps of a run with this input."""
        if not self.default_steps:
            return 0
        steps = model_input.get("num_inference_steps")
        return steps if isinstance(steps, int) and 0 < steps <= _MAX_STEPS else self.default_steps

    def files(self, model_input: JsonObject) -> tuple[str, ...]:
        """The addresses and `data:` URLs of the files in an input."""
        value = model_input.get(self.file_field) if self.file_field else None
        values = value if isinstance(value, list) else [value]
        return tuple(one for one in values if isinstance(one, str) and one)

    def picture_count(self, model_input: JsonObject) -> int:
        """The number of pictures that a run with this input makes; 0 for a text model."""
        match self.output:
            case OutputShape.TEXT_CHUNKS | OutputShape.TRANSCRIPT:
                return 0
            case OutputShape.NAMED_URIS:
                return 2
            case OutputShape.URI:
                return 1
            case OutputShape.URI_LIST | OutputShape.URI_ITERATOR:
                count = model_input.get(self.count_field)
                return count if isinstance(count, int) and 0 < count <= 15 else 1

    def document(self, *, origin: str, created_at: str) -> JsonObject:
        """The response of GET /models/{owner}/{name}."""
        schemas = input_schemas(self.fields) | {"Output": _OUTPUT_SCHEMAS[self.output]}
        version = {
            "id": self.version_id,
            "created_at": created_at,
            "cog_version": "0.16.0",
            "openapi_schema": {
                "openapi": "3.0.2",
                "info": {"title": "Cog", "version": "0.1.0"},
                "paths": {},
                "components": {"schemas": schemas},
            },
        }
        return {
            "url": f"{origin}/{self.full_name}",
            "owner": self.owner,
            "name": self.name,
            "description": self.description,
            "visibility": "public",
            "is_official": self.is_official,
            "run_count": 1_000_000,
            "cover_image_url": None,
            "default_example": None,
            "github_url": None,
            "license_url": None,
            "paper_url": None,
            "latest_version": version,
        }
