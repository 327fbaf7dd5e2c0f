"""The doctor's findings about the network: the port, the provider, its clock, the public URL."""

from __future__ import annotations

import email.utils
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from phoenix_compat.operations.finding import Finding, fail, ok, warn
from phoenix_compat.operations.probe import Address, probe
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.tasks.model.errors import (
    ProviderError,
    ProviderRefusedError,
    ProviderThrottledError,
    ProviderUnreachableError,
)
from phoenix_compat.tasks.provider.replicate import Account, ReplicateProvider

MAX_SKEW_S: Final = 30.0
"""Webhooks are signed with a time, and looks for lost orders begin a minute before them."""

_TIMEOUT_S: Final = 10.0
_SIGN: Final = "phoenix_compat"
_HEARTBEAT: Final[list[object]] = [None, "1", "phoenix", "heartbeat", {}]

_UPGRADE_REMEDIES: Final[Mapping[int, str]] = {
    400: "the proxy drops the headers of the upgrade: pass Upgrade and Connection on",
    403: "the origin is refused: public_url must be exactly what browsers show",
    404: "the proxy does not pass /socket on to this server",
    421: "this host is not allowed: let the proxy pass Host on; public_url must name it",
    426: "the proxy drops the headers of the upgrade: pass Upgrade and Connection on",
    502: "the proxy does not reach this server: is it running, and where the proxy looks?",
    503: "the proxy does not reach this server: is it running, and where the proxy looks?",
}


def check_port(settings: Settings) -> Finding:
    """Can the server listen there, or does it already? Blocking."""
    where = Address(settings.host, settings.port)
    if settings.unix_socket is not None:
        return ok("port", f"none: it listens on {settings.unix_socket}")
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            attempt.bind(address)
    except OSError as error:
        if _is_ours(where):
            return ok("port", f"this server runs on {where}")
        remedy = "stop what listens there (ss -ltnp), or choose another port or host"
        return fail("port", f"cannot listen on {where}: {error.strerror}", remedy)
    return ok("port", f"{where} is free")


def _is_ours(where: Address) -> bool:
    try:
        status, text = probe(where, "/", _TIMEOUT_S)
    except OSError:
        return False
    return status == 200 and text.startswith(_SIGN)


async def check_provider(settings: Settings) -> list[Finding]:
    """Is the token good, is there room below the rate limit, and does the clock agree?"""
    token = settings.replicate_api_token
    if token is None or not settings.has_token:
        return [ok("token", "none: the emulator stands in for Replicate")]
    url = settings.replicate_base_url
    provider = ReplicateProvider(
        token=token.get_secret_value(), base_url=url, total_timeout_s=_TIMEOUT_S
    )
    try:
        account = await provider.account()
    except ProviderRefusedError as error:
        remedy = "make a new one at replicate.com/account/api-tokens and set REPLICATE_API_TOKEN"
        return [fail("token", f"{url} refuses it with {error.status}", remedy)]
    except ProviderThrottledError as error:
        remedy = "wait; the server slows down by itself. An account with credit is allowed more"
        return [warn("rate limit", str(error), remedy)]
    except ProviderUnreachableError as error:
        remedy = "see whether this machine reaches it: DNS, firewall, REPLICATE_BASE_URL"
        return [fail("token", f"{url}: {error}", remedy)]
    except ProviderError as error:
        remedy = "try again; see replicatestatus.com, and REPLICATE_BASE_URL"
        return [fail("token", f"{url}: {error}", remedy)]
    finally:
        await provider.close()
    left = "no limit told" if account.requests_left is None else f"{account.requests_left} left"
    return [
        ok("token", f"good, of {account.username} at {url}"),
        ok("rate limit", f"{left} in this minute"),
        clock_finding(account, datetime.now(UTC)),
    ]


def clock_finding(account: Account, now: datetime) -> Finding:
    """Does this machine's clock agree with the provider's?"""
    try:
        theirs = email.utils.parsedate_to_datetime(account.date or "")
    except ValueError:
        return warn("clock", "the provider tells no time", "see `timedatectl`")
    skew_s = (now - theirs).total_seconds()
    told = f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} the provider's"
    if abs(skew_s) > MAX_SKEW_S:
        return fail("clock", told, "let it be set: timedatectl set-ntp true")
    return ok("clock", told)


async def check_public_url(settings: Settings) -> Finding:
    """Does a websocket come through from outside, past whatever stands in between?"""
    name = "public URL"
    if settings.public_url is None:
        return ok(name, "none; only pages of this server's own host may open sockets")
    base = settings.public_url.rstrip("/")
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.ws_connect(f"{base}/socket/websocket?vsn=2.0.0", origin=base) as wire,
        ):
            await wire.send_json(_HEARTBEAT)
            reply = await wire.receive_json(timeout=_TIMEOUT_S)
    except aiohttp.WSServerHandshakeError as error:
        remedy = _UPGRADE_REMEDIES.get(error.status, "see the proxy's log, and docs/operations.md")
        return fail(name, f"{base} answers the upgrade with {error.status}", remedy)
    except aiohttp.ClientSSLError as error:
        remedy = "the certificate is not for this name, or not trusted: see the proxy"
        return fail(name, f"{base}: {error}", remedy)
    except (aiohttp.ClientError, TimeoutError, OSError, TypeError, ValueError) as error:
        host = urlsplit(base).hostname
        remedy = f"see that {host} leads to this machine's proxy, that both run, and its timeouts"
        return fail(name, f"no websocket through {base}: {error!r}", remedy)
    if not isinstance(reply, list) or reply[3:4] != ["phx_reply"]:
        return fail(name, f"{base} is another server", "let the proxy pass /socket on to this one")
    return ok(name, f"a websocket through {base} answers")
