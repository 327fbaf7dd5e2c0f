"""JSON schemas of the types of payloads, for `Endpoint.asyncapi`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Final

import msgspec

from phoenix_compat.typed_payload import is_model, without_bytes

_PLACE: Final = "#/components/schemas/"
_BINARY: Final = {"type": "string", "format": "binary"}


class Schemas:
    """The schemas of some types.

    Args:
        types: all types whose schemas are asked for.

    Attributes:
        components: the named schemas, which the others refer to.
    """

    def __init__(self, types: Iterable[Any]) -> None:
        converted = [without_bytes(one) for one in types if one is not bytes]
        plain = [one for one in converted if not is_model(one)]
        schema_of = partial(msgspec.json.schema_components, plain, ref_template=_PLACE + "{name}")
        _, named = schema_of(schema_hook=lambda _model: {"title": ""})  # only for the names
        self._taken = set(named)
        self._models: dict[Any, str] = {}
        self.components: dict[str, Any] = {}
        schemas, named = schema_of(schema_hook=self._model)
        self.components.update(named)
        self._plain = list(zip(plain, schemas, strict=True))

    def of(self, declared: Any) -> dict[str, Any]:
        """The schema of one of the types; bytes are `{"type": "string", "format": "binary"}`."""
        if declared is bytes:
            return _BINARY
        converted = without_bytes(declared)
        schema = (
            self._model(converted)
            if is_model(converted)
            else next(schema for one, schema in self._plain if one is converted or one == converted)
        )
        return schema if converted is declared else {"oneOf": [_BINARY, schema]}

    def _model(self, model: Any) -> dict[str, Any]:
        """A reference to the component of a pydantic model, which has its parts inside of it."""
        if model not in self._models:
            name = model.__name__
            if name in self._taken:
                name = f"{model.__module__}.{model.__qualname__}"
            name = "".join(char if char.isalnum() or char in "._-" else "_" for char in name)
            self._taken.add(name)
            self._models[model] = name
            inner = f"{_PLACE}{name}/$defs/{{model}}"
            self.components[name] = model.model_json_schema(ref_template=inner)
        return {"$ref": _PLACE + self._models[model]}
