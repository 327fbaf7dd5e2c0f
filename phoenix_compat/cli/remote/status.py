"""`status`: one screen about the running server."""

# ruff: noqa: PLC0415 - see `phoenix_compat.cli`

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

import click

from phoenix_compat.cli.errors import warn
from phoenix_compat.cli.remote.options import ServerOptions, json_option, server_options
from phoenix_compat.cli.remote.tables import age, print_fields, print_json

_READY: Final = "ready"
_UNAVAILABLE: Final = 503
_MIB: Final = 2**20


@click.command()
@json_option
@server_options
def status(server: ServerOptions, *, as_json: bool) -> None:
    """Show on one screen how the running server is.

    That is what /readyz and /api/status say. A key needs the scope read_metrics or operate. The
    exit code is 1 if the server is not ready.
    """
    from phoenix_compat.operations.remote.access import RemoteError

    name, ready, found = asyncio.run(_ask(server))
    numbers = None if isinstance(found, RemoteError) else found
    if as_json:
        print_json({"ready": ready, "status": numbers})
    else:
        print_fields([("server", name), *_state(ready), *_numbers(numbers or {})])
    if isinstance(found, RemoteError):
        warn(f"there are no numbers: {found}")
    if ready.get("status") != _READY:
        raise SystemExit(1)


async def _ask(server: ServerOptions) -> tuple[str, Mapping[str, Any], Any]:
    """The server's name, what /readyz says, and the numbers or the error instead of them."""
    from phoenix_compat.operations.remote.access import RemoteError

    async with await server.api() as api:
        ready = await api.send("GET", "/readyz", accepted=(_UNAVAILABLE,))
        try:
            return api.remote.name, ready, await api.get("/api/status")
        except RemoteError as error:
            return api.remote.name, ready, error


def _state(ready: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    provider, store = ready.get("provider", {}), ready.get("store", {})
    yield "state", str(ready.get("status", "unknown"))
    yield "provider", _with_reason(f"circuit {provider.get('circuit', 'unknown')}", provider)
    yield "store", _with_reason(str(store.get("state", "unknown")), store)


def _with_reason(text: str, part: Mapping[str, Any]) -> str:
    return f"{text}: {part['reason']}" if part.get("reason") else text


def _numbers(numbers: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not numbers:
        return
    yield "version", f"{numbers['version']}, up {age(timedelta(seconds=numbers['up_s']))}"
    tasks = numbers.get("tasks")
    if tasks is not None:
        yield "tasks", f"{tasks['queued']} queued, {tasks['running']} running"
        yield (
            "last minute",
            f"{tasks['ended_per_minute']} ended, {tasks['failed_per_minute']} of them failed",
        )
        yield "in all", f"{tasks['completed']} completed, {tasks['failed']} failed"
        if tasks["p50_s"] is not None:
            yield "duration", f"p50 {tasks['p50_s']:.1f} s, p95 {tasks['p95_s']:.1f} s (last hour)"
        yield "today", f"{tasks['tasks_today']} tasks, {_usd(tasks['spend_today_usd'])}"
        yield "creates", f"{tasks['creates_per_minute']:.0f} per minute allowed"
        yield "archive", f"{tasks['archive_bytes'] / _MIB:.1f} MiB"
    yield "sockets", f"{numbers['sockets']} with {numbers['channels']} channels"
    yield "frames", f"{numbers['frames_received']} received, {numbers['frames_sent']} sent"
    yield "unsent", f"{numbers['outbox_bytes']} bytes, for slow clients"
    yield "processes", _processes(numbers)


def _usd(amount: float | None) -> str:
    return "cost unknown" if amount is None else f"{amount:.2f} USD (estimated)"


def _processes(numbers: Mapping[str, Any]) -> str:
    missing = numbers["missing_processes"]
    shown = str(numbers["processes"]) + (f" ({missing} did not answer)" if missing else "")
    memory_mib, lag_ms = numbers["memory_bytes"] / _MIB, numbers["loop_lag_s"] * 1_000
    return f"{shown}, {memory_mib:.0f} MiB, event loop at most {lag_ms:.0f} ms late"
