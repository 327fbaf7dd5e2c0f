"""How the server logs: one format for every line of the process, bounded and safe to display.

Start with `configure`.
"""

from phoenix_compat.server.process.logs.configure import (
    configure_logs,
    lines_left_out,
    set_log_level,
)

__all__ = ["configure_logs", "lines_left_out", "set_log_level"]
