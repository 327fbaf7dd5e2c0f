"""The matrix and the vectors again, over ASGI."""
