"""The folders that are mutated, and the tests that are run against their mutants."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True)
class Target:
    """What is run against the mutants of a folder.

    Attributes:
        tests: files and folders of unit tests; those that do not run a line of it are left out.
        vectors: only the vectors whose names begin like this; they are played after the unit tests.
    """

    tests: tuple[str, ...]
    vectors: str = ""


_CHANNELS: Final = (
    "tests/unit/test_channel.py",
    "tests/unit/test_channel_types.py",
    "tests/unit/test_endpoint.py",
    "tests/unit/test_pubsub.py",
    "tests/unit/test_result.py",
    "tests/unit/test_testing.py",
    "tests/unit/test_typed_payload.py",
)

TARGETS: Final = {
    "protocol": Target(
        (
            "tests/unit/protocol",
            "tests/unit/test_token.py",
            "tests/unit/test_csrf.py",
            "tests/unit/declarations",
            "tests/unit/transports",
            "tests/unit/client",
            "tests/conformance/test_data_vectors.py",
        )
    ),
    "presence": Target(
        (
            "tests/unit/presence",
            "tests/unit/cluster/test_presence_model.py",
            "tests/unit/cluster/test_presence_order.py",
            "tests/unit/cluster/test_presence_replicas.py",
        ),
        vectors="presence/",
    ),
    "runtime": Target(
        (
            "tests/unit/runtime",
            *_CHANNELS,
            "tests/unit/presence",
            "tests/unit/declarations/test_option_mistakes.py",
        )
    ),
    "transports": Target(
        (
            "tests/unit/transports",
            "tests/unit/accept",
            "tests/unit/declarations",
            "tests/unit/test_endpoint.py",
            "tests/unit/test_http_server.py",
            "tests/unit/cluster/test_cluster.py",
            "tests/integration/multiprocess/test_peers.py",  # of one module, in one process
        )
    ),
}
"""By the name of a folder of the package."""


def folder_of(target: str) -> Path:
    """The folder, below the one of the repository."""
    return Path("phoenix_compat", target)
