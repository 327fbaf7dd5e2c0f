"""The HTTP API as a document: OpenAPI 3.1, the page that shows it, and docs/http-api.md.

Each route has a description in `routes`; a test fails if one has none. Nothing here runs before
somebody asks for the document. Start with `document`.
"""
