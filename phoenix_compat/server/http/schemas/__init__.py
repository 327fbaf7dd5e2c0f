"""What requests and answers of the HTTP API look like, as pydantic models.

Requests are checked with them. Answers are made elsewhere, by faster code; tests check that real
answers match. `openapi` makes a document of the models. Start with `tasks`.
"""
