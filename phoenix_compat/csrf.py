"""Makes the CSRF token that a page gives to its socket, as Plug.CSRFProtection does.

    session = await aiohttp_session.get_session(request)
    token = csrf_token(session)   # into the page: <meta name="csrf-token" content="…">

The page passes it on: `new Socket("/socket", {params: {_csrf_token: token}})`. Only then does
`connect_info["session"]` have the session; see the option `session` of a transport.
"""

from __future__ import annotations

import secrets
from collections.abc import MutableMapping
from typing import Any

from phoenix_compat.protocol.csrf import PARAM, RANDOM_BYTES, mask_state, random_text, state_of


def csrf_token(session: MutableMapping[str, Any], key: str = PARAM) -> str:
    """A token for one page; the session stores the secret that it is made from.

    Each call returns another token, and all of them are valid as long as the session lasts. If the
    session has no secret yet, one is stored, and the framework must be able to send the session's
    cookie with the response.

    Args:
        session: the session of the request: of aiohttp_session, of Starlette (`request.session`),
            or any mapping that can be changed.
        key: where the session stores the secret; the option `csrf_token_key` of a transport.

    Source: plug 1.19.2, lib/plug/csrf_protection.ex, get_csrf_token/0.
    """
    state = state_of(session.get(key))
    if state is None:
        state = session[key] = random_text(secrets.token_bytes(RANDOM_BYTES))
    return mask_state(state, random_text(secrets.token_bytes(RANDOM_BYTES)))
