"""`admin:provider`: how the provider does, every two seconds."""

from __future__ import annotations

from typing import Any

import msgspec

from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.server.console.context import ConsoleContext
from phoenix_compat.server.console.live_channel import LiveChannel
from phoenix_compat.server.inspection.inspection import INSPECTION
from phoenix_compat.tasks.model.task import JSONObject


class ProviderChannel(LiveChannel):
    """A ProviderView, and where the provider is."""

    interval_s = 2.0

    async def read(self, context: ConsoleContext) -> JSONObject:
        """The state; `error` says why there is none."""
        where: dict[str, Any] = {
            "is_emulator": not context.settings.has_token,
            "base_url": context.settings.replicate_base_url if context.settings.has_token else "",
            "default_model": context.present_settings.default_model,
        }
        try:
            view = msgspec.json.decode(await context.app[INSPECTION].provider.view())
        except PhoenixCompatError as error:
            return {**where, "error": str(error)}
        return {**where, **view}
