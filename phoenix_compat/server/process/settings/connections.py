"""How many connections clients may have."""

from __future__ import annotations

from pydantic import Field

from phoenix_compat.server.process.settings.part import SettingsPart


class ConnectionSettings(SettingsPart):
    """The part of `Settings` about this subject."""

    max_connections: int | None = Field(
        None,
        ge=1,
        description="limit for client connections in each process, 1 or more; without it, as many "
        "as the limit of open files allows",
    )
    fast_handshake: bool = Field(
        True,  # noqa: FBT003 - pydantic's form
        description="answer the handshakes of websockets without the HTTP framework, which is "
        "quicker; false takes the long way, with the same checks",
    )
    max_connections_per_address: int | None = Field(
        None,
        ge=1,
        description="limit for the connections from one IPv4 address, or one IPv6 network of 64 "
        "bits, in all processes together; without it, 2000, or half of max_connections if that is "
        "less",
    )
