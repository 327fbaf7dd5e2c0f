"""One node: `python -m tests.benchmarks.nodes.task_node PORT FOLDER EMULATOR NAME=VALUE …`.

EMULATOR is the port of the provider; the names are those of settings. The node creates and polls
without limits.
"""

from __future__ import annotations

import sys
from pathlib import Path

from phoenix_compat.server.main import open_app
from phoenix_compat.server.process.listening import run, serve_until_signal
from phoenix_compat.server.process.settings import Settings
from tests.benchmarks.apps import FAST


def main() -> None:
    """Serve until a signal."""
    port, folder, emulator, *pairs = sys.argv[1:]
    provider = f"http://127.0.0.1:{emulator}"
    settings = Settings.model_validate(
        {
            "data_dir": Path(folder),
            "replicate_api_token": "r8_benchmark",
            "replicate_base_url": f"{provider}/v1",
            "file_hosts": (provider,),
            "log_level": "error",
            **dict(pair.split("=", 1) for pair in pairs),
        }
    )
    opened = open_app(settings, FAST)
    run(serve_until_signal(opened, "127.0.0.1", int(port), lambda _url: None))


if __name__ == "__main__":
    main()
