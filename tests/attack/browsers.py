"""What web pages can send: cross-site requests, and requests under a name of their own."""

from __future__ import annotations

from tests.attack.registry import Finding, attack
from tests.attack.target import Target, status_of

_ORDER = b'{"input_data":{"type":"image","prompt":"Medieval monk"}}'
_JSON = "Content-Type: application/json"


@attack("cross-site POST", rows="S4", bound="403 or 415, and no task")
async def cross_site_post(target: Target) -> Finding:
    """What a page from elsewhere can send without being asked, and what it would like to."""
    kinds = [
        ("Content-Type: text/plain",),
        ("Content-Type: application/x-www-form-urlencoded",),
        (),
        (_JSON, "Origin: https://evil.example"),
        (_JSON, "Origin: null"),
        (_JSON, "Sec-Fetch-Site: cross-site"),
    ]
    before = await target.tasks()
    statuses = [
        status_of(await target.say(target.request("POST", "/api/tasks", *kind, body=_ORDER)))
        for kind in kinds
    ]
    more = await target.tasks() - before
    return Finding(
        set(statuses) <= {401, 403, 415} and not more, f"statuses {statuses}, {more} more tasks"
    )


@attack("foreign host names", rows="S5", bound="421, or 400 without any")
async def foreign_host_names(target: Target) -> Finding:
    """Names that a page can point at this server (DNS rebinding)."""
    names = [
        "evil.example",
        "evil.example:4000",
        "localhost.evil.example",
        "127.0.0.1.evil",
        "",
        "a b",
    ]
    statuses = []
    for name in names:
        request = f"GET /api/tasks HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
        statuses.append(status_of(await target.say(request.encode())))
    without = status_of(await target.say(b"GET /api/tasks HTTP/1.1\r\n\r\n"))
    return Finding({*statuses, without} <= {400, 421}, f"statuses {statuses}, without {without}")
