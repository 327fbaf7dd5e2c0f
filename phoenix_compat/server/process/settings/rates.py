"""How fast and from how many connections clients may act."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from phoenix_compat.server.process.proxy_networks import checked_proxy
from phoenix_compat.server.process.settings.part import SettingsPart

_MAX_PER_MINUTE: Final = 1_000_000
_MAX_PROXIES: Final = 1_000

_PerMinute = Annotated[int, Field(ge=0, le=_MAX_PER_MINUTE)]


class RateSettings(SettingsPart):
    """The part of `Settings` about this subject.

    Each rate is also the burst: a client that was quiet for a minute may do as much at once. The
    defaults let 10 000 clients of one owner, or behind one address, come back after a restart.
    """

    trusted_proxies: tuple[Annotated[str, AfterValidator(checked_proxy)], ...] = Field(
        (),
        max_length=_MAX_PROXIES,
        description="proxies whose X-Forwarded-For names the client, "
        'as ["127.0.0.1", "10.0.0.0/8"]; "unix" is the one behind unix_socket',
    )
    address_creates_per_minute: _PerMinute = Field(
        600,
        description="tasks that one client address may create or retry, and files that it may "
        "send, per minute; 0 for no limit",
    )
    address_connects_per_minute: _PerMinute = Field(
        20_000,
        description="sockets that one client address may open per minute; 0 for no limit",
    )
    address_joins_per_minute: _PerMinute = Field(
        60_000,
        description="channels that one client address may join per minute; 0 for no limit",
    )
    address_failed_credentials_per_minute: _PerMinute = Field(
        600,
        description="invalid credentials that one client address may send per minute; "
        "0 for no limit",
    )
    owner_creates_per_minute: _PerMinute = Field(
        20_000,
        description="tasks that one owner may create or retry, and files that it may send, per "
        "minute; 0 for no limit",
    )
    owner_connects_per_minute: _PerMinute = Field(
        20_000, description="sockets that one owner may open per minute; 0 for no limit"
    )
    owner_joins_per_minute: _PerMinute = Field(
        60_000, description="channels that one owner may join per minute; 0 for no limit"
    )
