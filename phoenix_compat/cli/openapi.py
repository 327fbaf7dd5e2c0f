"""`openapi`: prints the description of the HTTP API."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

import json

import click


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "markdown"]),
    default="json",
    show_default=True,
    help="A document for programs, or a page for people.",
)
def openapi(form: str) -> None:
    """Print the HTTP API as an OpenAPI 3.1 document."""
    if form == "markdown":
        from phoenix_compat.server.http.openapi.markdown import http_api_page

        click.echo(http_api_page(), nl=False)
        return
    from phoenix_compat.server.http.openapi.document import openapi_document

    click.echo(json.dumps(openapi_document(), indent=2, ensure_ascii=False))
