"""Builds the aiohttp application of the emulator with all its routes."""

from __future__ import annotations

from aiohttp import web

from phoenix_compat.emulator.clock import EmulatorClock
from phoenix_compat.emulator.settings import EmulatorSettings
from phoenix_compat.emulator.state import EmulatorState
from phoenix_compat.emulator.web import account, control, create, pictures, predictions, stream
from phoenix_compat.emulator.web import uploads as upload_routes
from phoenix_compat.emulator.web.access import (
    PAGE_GUARD,
    add_rate_limit_headers,
    guard,
    page_guard,
    problems,
)
from phoenix_compat.emulator.web.request_context import STATE
from phoenix_compat.emulator.web.webhook_sender import webhook_sender_context

# SDK 1 takes a base URL without /v1, SDK 2 one with it. Given the wrong one, both send /v1/v1.
_PREFIXES = ("/v1", "/v1/v1")


def build_emulator_app(
    settings: EmulatorSettings, clock: EmulatorClock | None = None
) -> web.Application:
    """The application that emulates Replicate's HTTP API; its state is `app[STATE]`."""
    app = web.Application(middlewares=[problems, guard], client_max_size=settings.max_body_bytes)
    app[STATE] = EmulatorState(settings, clock)
    app[PAGE_GUARD] = page_guard(settings)
    app.cleanup_ctx.append(webhook_sender_context)
    app.on_shutdown.append(_end_waits)
    app.on_cleanup.append(_close_picture_cache)
    app.on_response_prepare.append(add_rate_limit_headers)
    for prefix in _PREFIXES:
        app.add_routes(_api_routes(prefix))
    app.add_routes(
        [
            web.get("/files/{file}", pictures.get_picture),
            web.get("/stream/{id}", stream.stream_prediction),
            *(control.ROUTES if settings.has_control_routes else ()),
        ]
    )
    return app


def _api_routes(prefix: str) -> list[web.RouteDef]:
    model = prefix + "/models/{owner}/{name}"
    return [
        web.post(f"{prefix}/predictions", create.create_by_version),
        web.post(f"{model}/predictions", create.create_by_model),
        web.post(prefix + "/deployments/{owner}/{name}/predictions", create.create_by_deployment),
        web.get(f"{prefix}/predictions", predictions.list_predictions),
        web.get(prefix + "/predictions/{id}", predictions.get_prediction),
        web.post(prefix + "/predictions/{id}/cancel", predictions.cancel_prediction),
        web.get(model, account.get_model),
        web.get(f"{prefix}/account", account.get_account),
        web.get(f"{prefix}/webhooks/default/secret", account.get_webhook_secret),
        web.post(f"{prefix}/files", upload_routes.create_upload),
        web.get(f"{prefix}/files", upload_routes.list_uploads),
        web.get(prefix + "/files/{id}", upload_routes.get_upload),
        web.delete(prefix + "/files/{id}", upload_routes.delete_upload),
        web.get(prefix + "/files/{id}/download", upload_routes.download_upload),
    ]


async def _end_waits(app: web.Application) -> None:
    # Handlers that hang or wait return now and do not delay the shutdown.
    app[STATE].timer.close()


async def _close_picture_cache(app: web.Application) -> None:
    await app[STATE].picture_cache.close()
