"""The doctor's checks of security: who may use the server, what it may cost, what can be guessed.

They never fail a server that works: an open one may be meant so, and then a line says so.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import Final
from urllib.parse import SplitResult, urlsplit

from phoenix_compat.errors import ConfigError
from phoenix_compat.operations.doctor.finding import Finding, fail, ok, warn
from phoenix_compat.operations.doctor.weak_secret import weakness_of
from phoenix_compat.server.auth.exposure import (
    WAYS_OUT,
    check_exposure,
    listens_on_loopback,
    refused_clients,
)
from phoenix_compat.server.auth.keys.missing_key import WHAT as NO_KEY
from phoenix_compat.server.auth.keys.missing_key import check_key, ways_out
from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.server.auth.setup import named_auth_secrets
from phoenix_compat.server.process.addresses import is_loopback_name
from phoenix_compat.server.process.proxy_networks import UNIX, parse_network
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.process.settings.auth import JWT, PHOENIX_TOKEN
from phoenix_compat.tasks.model.clock import stored_time
from phoenix_compat.tasks.model.errors import StoreError
from phoenix_compat.tasks.store.sqlite.database_copy import open_read_only

UNUSED_DAYS: Final = 90

_LOOPBACKS: Final = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
_UNUSED_OPERATORS: Final = """
SELECT name FROM api_keys
WHERE revoked_at IS NULL AND instr(scopes, ?) AND coalesce(last_used_at, created_at) < ?
  AND name NOT GLOB '*[^A-Za-z0-9._-]*'  -- a damaged row could have control characters
ORDER BY name LIMIT 10
"""


def check_authentication(settings: Settings) -> Finding:
    """Is there authentication, or can only this machine reach the server?"""
    name = "authentication"
    try:
        check_exposure(settings)
    except ConfigError as error:
        what = str(error).removesuffix(f"; {WAYS_OUT}")
        return fail(name, what, WAYS_OUT)
    try:
        check_key(settings, is_new_refused=True)
    except ConfigError:
        return fail(name, NO_KEY, ways_out(settings))
    if settings.has_auth:
        return ok(name, f"clients need a credential: {', '.join(settings.auth)}")
    if settings.insecure_no_auth:
        what = "everyone who reaches the server may use it (insecure_no_auth)"
        return warn(name, what, 'configure auth = ["keys"]; see docs/authentication.md')
    if refused := refused_clients(settings):
        return warn(name, refused, WAYS_OUT)
    return ok(name, "none; only this machine can reach the server")


def check_secrets(settings: Settings) -> Finding:
    """Can the secrets that sign credentials be guessed? API keys are always random."""
    name = "secrets"
    try:
        secrets = named_auth_secrets(settings)
    except ConfigError:
        return ok(name, "not checked, because the settings are not valid")  # the line "config"
    weak = {setting: why for setting, one in secrets.items() if (why := weakness_of(one))}
    if not weak:
        return ok(name, "none looks like one that can be guessed")
    found = ", ".join(f"the secret in {setting} looks weak: {why}" for setting, why in weak.items())
    remedy = (
        "whoever guesses it can sign in as anybody: make a new one where the tokens are signed, "
        "such as `openssl rand -base64 48`, and use it here too"
    )
    return warn(name, found, remedy)


def check_operator_keys(settings: Settings, now: datetime | None = None) -> Finding:
    """Are there keys that may see everything and that nobody uses?"""
    name = "operator keys"
    before = (now or datetime.now(UTC)) - timedelta(days=UNUSED_DAYS)
    try:
        unused = _unused_operator_keys(settings, before)
    except (StoreError, sqlite3.Error):
        return ok(name, "not checked, because the database cannot be read")  # the line "database"
    if not unused:
        return ok(name, f"none has been unused for {UNUSED_DAYS} days")
    detail = f"may see the tasks of all owners, and unused for {UNUSED_DAYS} days: "
    remedy = "revoke what nobody needs: phoenix-compat keys revoke NAME"
    return warn(name, detail + ", ".join(unused), remedy)


def _unused_operator_keys(settings: Settings, before: datetime) -> tuple[str, ...]:
    path = settings.database_path
    if not path.exists():
        return ()
    with open_read_only(path) as database:
        table = database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'api_keys'").fetchone()
        if table is None:  # a database of an older version
            return ()
        values = (f'"{Scope.OPERATE}"', stored_time(before))
        return tuple(row["name"] for row in database.execute(_UNUSED_OPERATORS, values))


def check_spending(settings: Settings) -> Finding:
    """Is there a limit for what tasks may cost?"""
    name = "spending limits"
    if not settings.has_token:
        return ok(name, "not needed: without a token, tasks cost nothing")
    in_total = _limits(settings, "total")
    of_owners = _limits(settings, "owner")
    if not in_total and not of_owners:
        remedy = "set total_usd_per_day, for example to 5; see docs/settings.md"
        return warn(name, "none, so tasks may cost as much as the account allows", remedy)
    if not in_total and _has_unlimited_owners(settings):
        detail = (
            f"each owner has a limit ({', '.join(of_owners)}), but anybody who can sign up is one"
        )
        return warn(name, detail, "add a limit for all together, such as total_usd_per_day")
    limits = in_total + of_owners
    if settings.allow_unpriced_models and not any("_tasks_" in one for one in limits):
        remedy = (
            "remove allow_unpriced_models and give such models a price_usd in a task type, or set "
            "total_tasks_per_day too"
        )
        return warn(
            name, "models without a known price do not count (allow_unpriced_models)", remedy
        )
    return ok(name, ", ".join(limits))


def _limits(settings: Settings, whose: str) -> list[str]:
    """The limits that are set, such as "total_usd_per_day 5"."""
    names = (
        f"{whose}_{unit}_per_{period}" for unit in ("usd", "tasks") for period in ("day", "month")
    )
    given = ((one, getattr(settings, one)) for one in names)
    return [f"{one} {value:g}" for one, value in given if value is not None]


def _has_unlimited_owners(settings: Settings) -> bool:
    """Whether others than the operator decide how many owners there are."""
    return bool({JWT, PHOENIX_TOKEN} & set(settings.auth))


def check_tls(settings: Settings) -> Finding:
    """Do credentials and prompts cross a network without TLS?"""
    name = "TLS"
    public = _public(settings)
    if public is not None and public.scheme != "https":
        detail = (
            f"public_url is {settings.public_url}, so credentials and prompts are not encrypted"
        )
        remedy = (
            "put a proxy with TLS in front, and set public_url to its https:// address; see "
            "docs/deploy/proxy.md"
        )
        return warn(name, detail, remedy)
    if listens_on_loopback(settings):
        return ok(name, "only this machine can connect without it")
    if public is not None and any(_is_elsewhere(one) for one in settings.trusted_proxies):
        return ok(name, "up to the proxy; let the firewall admit only the proxy to this server")
    detail = f"the server listens on {settings.host}, where clients can connect without TLS"
    remedy = (
        'if the proxy is on this machine, set host = "127.0.0.1"; if it is on another one, name it '
        "in trusted_proxies and let the firewall admit only the proxy; see docs/deploy/proxy.md"
    )
    return warn(name, detail, remedy)


def check_client_addresses(settings: Settings) -> Finding:
    """Behind a proxy, can the server tell clients apart?"""
    name = "client addresses"
    public, proxies = _public(settings), settings.trusted_proxies
    if public is None:
        return ok(name, "clients connect directly")
    if settings.unix_socket is not None:
        missing = None if UNIX in proxies else UNIX
    elif listens_on_loopback(settings):
        missing = None if any(_is_on_loopback(one) for one in proxies) else "127.0.0.1"
    elif public.scheme == "https" and not proxies:
        remedy = "name the proxy's address in trusted_proxies; see docs/deploy/proxy.md"
        return warn(name, "all clients have the address of the proxy, and share its limits", remedy)
    else:
        missing = None
    if missing is None:
        return ok(name, f"from {', '.join(proxies)}" if proxies else "clients connect directly")
    detail = "the proxy is not in trusted_proxies, so rate limits cannot tell clients apart"
    entries = ", ".join(f'"{one}"' for one in (missing, *proxies))
    return warn(name, detail, f"set trusted_proxies = [{entries}]; see docs/deploy/proxy.md")


def _public(settings: Settings) -> SplitResult | None:
    """The public URL, if it is one that other machines can use."""
    if settings.public_url is None:
        return None
    url = urlsplit(settings.public_url)
    return None if is_loopback_name(url.hostname or "") else url


def _is_on_loopback(entry: str) -> bool:
    """Whether an entry of `trusted_proxies` has a proxy that connects over the loopback."""
    return entry != UNIX and any(parse_network(entry).overlaps(one) for one in _LOOPBACKS)


def _is_elsewhere(entry: str) -> bool:
    """Whether an entry of `trusted_proxies` has a proxy on another machine."""
    return entry != UNIX and not parse_network(entry).is_loopback
