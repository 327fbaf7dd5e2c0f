"""The commands about outgoing webhooks, as the control socket and the stopped server run them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Final

import msgspec

from phoenix_compat.server.control.messages import Arguments, ControlError, Handler
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.tasks.store.outbox.deliveries import DeliveryStore
from phoenix_compat.tasks.store.store import Store

LIST: Final = "webhooks.list"
SHOW: Final = "webhooks.show"
REPLAY: Final = "webhooks.replay"

MAX_SHOWN: Final = 1_000


class _Name(msgspec.Struct, forbid_unknown_fields=True):
    name: str


class _Show(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    limit: int = 50


def webhook_commands(
    store: Store, settings: Settings, wake: Callable[[], None] = lambda: None
) -> Mapping[str, Handler]:
    """The handlers of the commands, by name.

    Args:
        wake: looks for events to send now.
    """
    deliveries = DeliveryStore(store)
    urls = {webhook.name: webhook.url for webhook in settings.on_task_webhooks}

    async def list_all(_arguments: Arguments) -> object:
        statuses = await deliveries.statuses(urls)
        return [{**asdict(status), "url": urls.get(status.name)} for status in statuses]

    async def show(arguments: Arguments) -> object:
        asked = msgspec.convert(arguments, _Show)
        return await deliveries.list(asked.name, min(max(asked.limit, 1), MAX_SHOWN))

    async def replay(arguments: Arguments) -> object:
        name = msgspec.convert(arguments, _Name).name
        if name not in urls:
            known = ", ".join(urls) or "none"
            raise ControlError(f"there is no webhook {name!r}; the settings have: {known}")
        count = await deliveries.replay(name)
        wake()
        return {"events": count}

    return {LIST: list_all, SHOW: show, REPLAY: replay}
