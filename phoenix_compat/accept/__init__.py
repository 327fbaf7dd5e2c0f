"""Accepting connections within bounds; asyncio, no aiohttp.

    binding            sockets bound to a host and a port
    accepted           a connection that tells when its descriptor is closed
    connections        how many there are and may be; the counters, and the log lines about them
    addresses          which connections count as one client's, and which are not counted
    capacity           how many descriptors there are for clients
    acceptor           takes connections from the listening sockets and hands each to a protocol
    transport_maker    how a connection gets its transport at once, without a task
    overflow           what becomes of the few that are accepted beyond the limit
    request_deadlines  how long a client may take to send a request and to read the answer
    send_progress      whether a client takes what it is sent
    timer_wheel        one timer for the deadlines of all

Every server of this package listens through `Acceptor`; none uses asyncio's own accept loop, which
accepts as often per turn as the kernel's backlog is long and, without descriptors, logs a traceback
for each attempt.
"""

from phoenix_compat.accept.acceptor import Acceptor
from phoenix_compat.accept.binding import bound_tcp_sockets, explain_bind_error
from phoenix_compat.accept.connections import Connections

__all__ = ["Acceptor", "Connections", "bound_tcp_sockets", "explain_bind_error"]
