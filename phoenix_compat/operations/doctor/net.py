"""The doctor's checks of the network: the port, the provider, the clock, the public URL."""

from __future__ import annotations

import email.utils
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from phoenix_compat.accept import explain_bind_error
from phoenix_compat.operations.doctor.finding import Finding, fail, ok, warn
from phoenix_compat.operations.probe import PROBE_ERRORS, Address, probe
from phoenix_compat.operations.reason import reason_of
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.tasks.model.errors import (
    ProviderError,
    ProviderRefusedError,
    ProviderThrottledError,
    ProviderUnreachableError,
)
from phoenix_compat.tasks.provider.replicate.replicate import Account, ReplicateProvider

MAX_SKEW_S: Final = 30.0
"""Webhooks are signed with a time; lost predictions are searched from a minute before it."""

_TIMEOUT_S: Final = 10.0
_SERVER_NAME: Final = "phoenix_compat"
_HEARTBEAT: Final[list[object]] = [None, "1", "phoenix", "heartbeat", {}]

_UPGRADE_REMEDIES: Final[Mapping[int, str]] = {
    400: "the proxy drops headers of the websocket upgrade: let it pass on Upgrade and Connection",
    403: "the origin is refused: public_url must be exactly the address in the browser",
    404: "the proxy does not forward /socket to this server",
    421: "this host name is refused: let the proxy pass on Host, and name it in public_url",
    426: "the proxy drops headers of the websocket upgrade: let it pass on Upgrade and Connection",
    502: "the proxy does not reach this server: is it running, at the address the proxy uses?",
    503: "the proxy does not reach this server: is it running, at the address the proxy uses?",
}


def check_port(settings: Settings) -> Finding:
    """Is the port free, or used by this server? Blocking."""
    where = Address(settings.host, settings.port)
    if settings.unix_socket is not None:
        return ok("port", f"not used: the server listens on {settings.unix_socket}")
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            attempt.bind(address)
    except (OSError, UnicodeError) as error:
        if _is_ours(where):
            return ok("port", f"this server runs on {where}")
        detail, _, remedy = explain_bind_error(settings.host, settings.port, error).partition("; ")
        return fail("port", detail, remedy)
    return ok("port", f"{where} is free")


def _is_ours(where: Address) -> bool:
    try:
        status, text = probe(where, "/", _TIMEOUT_S)
    except PROBE_ERRORS:
        return False
    return status == 200 and text.startswith(_SERVER_NAME)


async def check_provider(settings: Settings) -> list[Finding]:
    """Is the token valid, is the rate limit not used up, and does the clock agree?"""
    token = settings.replicate_api_token
    if token is None or not settings.has_token:
        return [ok("token", "none: the server uses the emulator")]
    url = settings.replicate_base_url
    provider = ReplicateProvider(
        token=token.get_secret_value(), base_url=url, total_timeout_s=_TIMEOUT_S
    )
    try:
        account = await provider.account()
    except ProviderRefusedError as error:
        remedy = "make a new one at replicate.com/account/api-tokens and set REPLICATE_API_TOKEN"
        return [fail("token", f"{url} refuses it with status {error.status}", remedy)]
    except ProviderThrottledError as error:
        remedy = "wait; the server slows down by itself. Accounts with credit have a higher limit"
        return [warn("rate limit", str(error), remedy)]
    except ProviderUnreachableError:
        remedy = "check the network of this machine (DNS, firewall), and REPLICATE_BASE_URL"
        return [fail("token", f"cannot connect to {url}", remedy)]
    except ProviderError:
        remedy = "try again; check replicatestatus.com, and REPLICATE_BASE_URL"
        return [fail("token", f"{url} does not answer as Replicate does", remedy)]
    finally:
        await provider.close()
    left = "no limit reported" if account.requests_left is None else f"{account.requests_left} left"
    return [
        ok("token", f"valid; account: {account.username} at {url}"),
        ok("rate limit", f"{left} in this minute"),
        clock_finding(account, datetime.now(UTC)),
    ]


def clock_finding(account: Account, now: datetime) -> Finding:
    """Does this machine's clock agree with the provider's?"""
    try:
        theirs = email.utils.parsedate_to_datetime(account.date or "")
    except ValueError:
        return warn("clock", "the provider sends no time", "compare the clock: timedatectl")
    skew_s = (now - theirs).total_seconds()
    detail = f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} the provider's"
    if abs(skew_s) > MAX_SKEW_S:
        return fail("clock", detail, "synchronize it: timedatectl set-ntp true")
    return ok("clock", detail)


async def check_public_url(settings: Settings, credential: str | None = None) -> Finding:
    """Can a websocket be opened through the public URL and its proxy?

    Args:
        credential: an API key or a token. A server with authentication refuses the websocket
            without one, and then only the way to it and the origin are checked.
    """
    name = "public URL"
    if settings.public_url is None:
        return ok(name, "none: only pages of this server's own host may open sockets")
    base = settings.public_url.rstrip("/")
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    headers = {} if credential is None else {"Authorization": f"Bearer {credential}"}
    try:
        async with aiohttp.ClientSession(timeout=timeout) as http:
            try:
                reply = await _heartbeat_through(http, base, headers)
            except aiohttp.WSServerHandshakeError as error:
                if error.status == 403 and settings.has_auth and await _allows_origin(http, base):
                    return _without_credential(name, base, credential)
                raise
    except aiohttp.WSServerHandshakeError as error:
        remedy = _UPGRADE_REMEDIES.get(
            error.status, "check the proxy's log, and docs/operations.md"
        )
        return fail(
            name, f"{base} answers the websocket upgrade with status {error.status}", remedy
        )
    except aiohttp.ClientSSLError as error:
        remedy = "give the proxy a certificate for this name that is trusted"
        return fail(name, f"{base}: {reason_of(error)}", remedy)
    except (aiohttp.ClientError, TimeoutError, OSError, TypeError, ValueError) as error:
        host = urlsplit(base).hostname
        remedy = (
            f"check that {host} leads to the proxy, that proxy and server run, and the timeouts"
        )
        return fail(name, f"no websocket through {base}: {reason_of(error)}", remedy)
    if not isinstance(reply, list) or reply[3:4] != ["phx_reply"]:
        return fail(name, f"{base} is another server", "let the proxy forward /socket to this one")
    return ok(name, f"a websocket through {base} works")


async def _heartbeat_through(
    http: aiohttp.ClientSession, base: str, headers: Mapping[str, str]
) -> object:
    """The reply to a heartbeat, on a websocket through a URL."""
    url = f"{base}/socket/websocket?vsn=2.0.0"
    async with http.ws_connect(url, origin=base, headers=headers) as wire:
        await wire.send_json(_HEARTBEAT)
        return await wire.receive_json(timeout=_TIMEOUT_S)


async def _allows_origin(http: aiohttp.ClientSession, base: str) -> bool:
    """Whether this server is behind a URL and allows pages of it; needs no credential."""
    asked = {"Origin": base, "Access-Control-Request-Method": "POST"}
    async with http.options(f"{base}/api/tasks", headers=asked) as answer:
        return answer.status == 204 and answer.headers.get("Access-Control-Allow-Origin") == base


def _without_credential(name: str, base: str, credential: str | None) -> Finding:
    if credential is not None:
        remedy = "give a key or token that is valid: phoenix-compat keys list"
        return fail(name, f"{base} leads to this server, which refuses the credential", remedy)
    return ok(name, f"{base} leads to this server; a websocket was not tried (--key-file)")
