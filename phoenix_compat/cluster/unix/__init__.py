"""Connects the processes of one machine over Unix sockets. Start with `unix_bus`."""

from phoenix_compat.cluster.unix.unix_bus import UnixBus

__all__ = ["UnixBus"]
