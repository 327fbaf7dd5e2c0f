"""Starts the processes of `--workers N`, watches them, and restarts those that die or hang.

Start with `supervisor`. The processes connect to each other over a UnixBus by themselves.
"""

from phoenix_compat.cluster.workers.worker_process import WorkerProcess

__all__ = ["WorkerProcess"]
