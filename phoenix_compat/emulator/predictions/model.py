"""One model of the catalog: what it takes, what it gives, how it is described."""

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
    TEXT_CHUNKS = "a list of text chunks"
    NAMED_URIS = "an object of URIs"


# A stranger's model takes any number; its bar has to end some time.
_MAX_STEPS = 500

_URI: JsonObject = {"type": "string", "format": "uri"}
_OUTPUT_SCHEMAS: dict[OutputShape, JsonObject] = {
    OutputShape.URI: {"title": "Output", **_URI},
    OutputShape.URI_LIST: {"title": "Output", "type": "array", "items": _URI},
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
}


@dataclass(frozen=True, slots=True)
class Model:
    """A model as the catalog holds it.

    Attributes:
        owner, name: the two halves of `owner/name`.
        default_steps: how many steps its progress bar counts; 0 means that it logs nothing.
        is_official: runs without a version, which then reads `hidden`.
        is_closed: refuses input keys that it does not know.
        is_disabled: every create ends in 422 "Version disabled".
        count_field: the input key that says how many pictures are wanted.
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

    @property
    def full_name(self) -> str:
        """`owner/name`, as predictions carry it."""
        return f"{self.owner}/{self.name}"

    @property
    def version_id(self) -> str:
        """64 hex digits, the same in every run."""
        return hashlib.sha256(f"version of {self.full_name}".encode()).hexdigest()

    def steps(self, given: JsonObject) -> int:
        """How many steps a run with this input takes."""
        if not self.default_steps:
            return 0
        steps = given.get("num_inference_steps")
        return steps if isinstance(steps, int) and 0 < steps <= _MAX_STEPS else self.default_steps

    def picture_count(self, given: JsonObject) -> int:
        """How many pictures a run with this input makes; 0 for a model that writes text."""
        match self.output:
            case OutputShape.TEXT_CHUNKS:
                return 0
            case OutputShape.NAMED_URIS:
                return 2
            case OutputShape.URI:
                return 1
            case OutputShape.URI_LIST:
                count = given.get(self.count_field)
                return count if isinstance(count, int) and 0 < count <= 15 else 1

    def document(self, *, origin: str, created_at: str) -> JsonObject:
        """The answer of GET /models/{owner}/{name}."""
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
