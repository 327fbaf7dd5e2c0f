"""How the server logs: one format for every line of the process, bounded and safe to display.

Start with `configure`.
"""

from phoenix_compat.server.process.logs.configure import (
    ACCESS_LOGGER,
    configure_access_log,
    configure_logs,
    lines_left_out,
    set_log_level,
)

__all__ = [
    "ACCESS_LOGGER",
    "configure_access_log",
    "configure_logs",
    "lines_left_out",
    "set_log_level",
]
