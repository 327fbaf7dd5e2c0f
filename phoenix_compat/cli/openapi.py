"""`openapi`: prints the description of the HTTP API."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

import json

import click


@click.command()
def openapi() -> None:
    """Print the HTTP API as an OpenAPI 3.1 document, in JSON."""
    from phoenix_compat.server.http.openapi.document import openapi_document

    click.echo(json.dumps(openapi_document(), indent=2, ensure_ascii=False))
