"""Phoenix Channels in ASGI applications: Starlette, FastAPI, Django, Litestar, or none.

from phoenix_compat import asgi

asgi.mount(app, endpoint)               # in an application of Starlette or FastAPI
application = asgi.app(endpoint)        # an application of its own
"""

from phoenix_compat.transports.asgi import Application, app, mount
from phoenix_compat.transports.response import HttpResponse

__all__ = ["Application", "HttpResponse", "app", "mount"]
