"""Canaries: secrets that are put into every place where secrets stand, and looked for afterwards.

A new place is one line in a table below: name it, and `test_canaries` does the rest. Each canary
has a core of letters and digits that every encoding leaves as it is.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Final

_CORE: Final = re.compile(r"c4nary([a-z]+)z", re.I)
PROMPT: Final = "prompt"
"""The one canary that its own task may show."""


def canary(name: str) -> str:
    """The secret of a place; it has what encodings change."""
    return f"Zx%+/c4nary{name}z=1"


def found(text: str) -> set[str]:
    """The names of the canaries in a text."""
    names = {name.lower() for name in _CORE.findall(text)}
    return names | {"webhooks"} if WEBHOOK_SECRET[-20:] in text else names


TOKEN: Final = canary("token")
"""The Replicate token, in the environment or in a file; a token has no form that tells it."""

WEBHOOK_SECRET: Final = "whsec_" + base64.b64encode(b"c4nary of the webhooks").decode()

JWT_SECRET: Final = canary("jwtsecret") + "." * 32
SECRET_KEY_BASE: Final = canary("secretkeybase") + "." * 32
API_KEY: Final = "pck_" + "c4naryrealkeyz".ljust(43, "A")
"""A key that the server knows."""

HEADERS: Final[Mapping[str, str]] = {
    "Authorization": f"Bearer {canary('bearer')}",
    "Cookie": f"session={canary('cookie')}",
    "Idempotency-Key": canary("idempotencykey"),
    "X-API-Key": canary("apikeyheader"),
    "X-Door": canary("customheader"),  # the setting token_headers
    "X-Owner": canary("owner"),
    "X-Phoenix-AuthToken": canary("authtoken"),
    "webhook-id": canary("webhookid"),
    "webhook-timestamp": "1",
    "webhook-signature": f"v1,{canary('signature')}",
}
"""Of every request."""

PARAMETERS: Final[Mapping[str, str]] = {
    "token": canary("param"),
    "userToken": canary("usertoken"),
    "apikey": canary("apikey"),
    "API-KEY": canary("apikeyupper"),
    "jwt": canary("jwt"),
    "auth[header]": canary("nested"),
    "client_secret": canary("clientsecret"),
    "sessionId": canary("sessionid"),
    "Password": canary("password"),
    "ssn": canary("ssn"),  # the setting filter_parameters
    "door": canary("customparam"),  # the setting token_params
}
"""Of every query."""

PAYLOAD: Final[Mapping[str, object]] = {
    **{name: f"{value}{name}" for name, value in PARAMETERS.items()},
    "deep": [{"user": {"accessToken": canary("deep")}}],
    "note": f"a text with r8_{canary('replicateform')}",
    "other": f"pck_c4narykeyformz, Bearer {canary('bearerform')}",
    "jwt in a text": "eyJhbGciOiJIUzI1NiJ9c4naryjwtformz.eyJzdWIiOiIxIn0.x",
    "phoenix": "SFMyNTY.g2gDYQFc4naryphoenixformz.abc",
    "url": f"https://me:{canary('userinfo').replace('/', '')}@host.example/",
}
"""Of every join and every event."""

SUBPROTOCOL: Final = (
    "phoenix, base64url.bearer.phx." + base64.b64encode(canary("subprotocol").encode()).decode()
)
