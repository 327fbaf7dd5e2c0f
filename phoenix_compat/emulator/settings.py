"""The settings of an emulator: values and their checks. It reads no environment and no files."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, fields
from pathlib import Path

from phoenix_compat.errors import ConfigError
from phoenix_compat.protocol.page_guard import host_pattern

# Fixed, so that signatures are the same in every run; each real account has its own.
DEFAULT_WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"a secret that everyone may know.").decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatorSettings:
    """All settings with their defaults. Durations (`_s`) are in seconds of the emulator's clock.

    Attributes:
        host, port: the address that `Emulator` listens on; port 0 picks a free one.
        allowed_hosts: additional host names under which the control routes may be called, such as
            "emulator" or "*.example.com"; "*" allows all.
        speed: how many times faster than real models the emulated ones start and run. It does not
            change the clock: timestamps, deadlines and limits stay in real time.
        seed: makes ids, durations and random faults repeatable; None draws new ones each time.
        api_token: the only bearer token accepted; None accepts any.
        control_token: the token that the control routes need; None lets every program use them.
        has_control_routes: whether there are control routes at all.
        starting_s, cold_start_s: time in `starting`; the first prediction of each model takes
            `cold_start_s` more.
        run_median_s, run_min_s, run_max_s: the running time, lognormal and clipped to the bounds.
        creates_per_minute, create_burst: the limit on creates; the burst defaults to one minute's
            worth. requests_per_minute: the limit on everything else.
        retention_s: a finished prediction of this age loses its input, output, logs and files.
        input_folder: the folder of the task server's files. Links to its `/files/` in inputs are
            read from there; no other links are followed.
        state_file: the file that keeps predictions over a restart; None keeps none.
        max_predictions: how many predictions are kept; the oldest finished ones are evicted first.
        max_body_bytes, max_upload_bytes, max_uploads_bytes: limits for one JSON body, one uploaded
            file, and all uploaded files together.
        hang_s: the longest time that a `hang` fault holds a connection.
        oversize_bytes: the size of the file that the `file_too_large` and `file_endless` faults
            send.
        webhook_secret: `whsec_…`, signs webhooks. webhook_retry_s: the delays before each retry of
            a terminal webhook.
    """

    host: str = "127.0.0.1"
    port: int = 0
    allowed_hosts: tuple[str, ...] = ()
    speed: float = 1.0
    seed: int | None = None
    api_token: str | None = field(default=None, repr=False)
    control_token: str | None = field(default=None, repr=False)
    has_control_routes: bool = True
    starting_s: float = 0.3
    cold_start_s: float = 0.0
    run_median_s: float = 3.0
    run_min_s: float = 2.0
    run_max_s: float = 5.0
    creates_per_minute: int = 600
    create_burst: int | None = None
    requests_per_minute: int = 3000
    retention_s: float = 3600.0
    max_predictions: int = 2000
    input_folder: Path | None = None
    state_file: Path | None = None
    max_body_bytes: int = 12 * 2**20
    max_upload_bytes: int = 100 * 2**20
    max_uploads_bytes: int = 256 * 2**20
    hang_s: float = 600.0
    oversize_bytes: int = 64 * 2**20
    webhook_secret: str = DEFAULT_WEBHOOK_SECRET
    webhook_retry_s: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)

    def __post_init__(self) -> None:
        """Check all values, and report every error at once.

        Raises:
            ConfigError: values are out of range or host names are invalid; the text names each.
        """
        positive = ("speed", "run_median_s", "creates_per_minute", "requests_per_minute")
        errors = [f"{name} must be above 0" for name in positive if getattr(self, name) <= 0]
        errors += [
            f"{one.name} must not be negative"
            for one in fields(self)
            if one.name.endswith(("_s", "_bytes"))
            and isinstance(value := getattr(self, one.name), int | float)
            and value < 0
        ]
        if self.max_predictions < 1:
            errors.append("max_predictions must be at least 1")
        if self.create_burst is not None and self.create_burst < 1:
            errors.append("create_burst must be at least 1")
        if self.run_min_s > self.run_max_s:
            errors.append("run_min_s must not exceed run_max_s")
        for text in self.allowed_hosts:
            try:
                host_pattern(text)
            except ValueError as error:
                errors.append(f"allowed_hosts: {error}")
        if errors:
            raise ConfigError("emulator: " + "; ".join(errors))
