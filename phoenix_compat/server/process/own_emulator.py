"""The emulator that a server without a token runs for itself."""

from __future__ import annotations

import secrets

from phoenix_compat.emulator import EmulatorSettings
from phoenix_compat.redaction import live_secrets
from phoenix_compat.server.process.settings import Settings


def own_emulator_settings(settings: Settings) -> EmulatorSettings:
    """The settings of the server's own emulator, with a new API token.

    Only the server knows the token, and there are no control routes: other users of the machine and
    web pages can reach the port, but neither read prompts nor steer the emulator. The URLs of
    pictures need no token, as at Replicate.
    """
    token = f"r8_{secrets.token_hex(20)}"
    live_secrets.register(token)
    return EmulatorSettings(
        speed=settings.emulator_speed,
        input_folder=None if settings.bucket is not None else settings.files_path,
        state_file=settings.emulator_path,
        api_token=token,
        has_control_routes=False,
    )
