"""Connects endpoints to web frameworks. The modules here do not depend on a framework.

They decide: who may connect, what long-polling answers. Each folder connects them to one interface:
`aiohttp/`, and `asgi/` for Starlette, FastAPI, Django and others. Start with `handshake`.
"""
