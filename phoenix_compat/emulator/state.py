"""The state of one emulator, and the operations on it that do not involve HTTP."""

from __future__ import annotations

import contextlib
import math
import random
from collections import Counter, deque
from dataclasses import dataclass, replace

from phoenix_compat.emulator.clock import EmulatorClock
from phoenix_compat.emulator.faults.fault import ScheduleChange, Stage
from phoenix_compat.emulator.faults.fault_plan import FaultPlan, FaultSpec
from phoenix_compat.emulator.inputs.source_files import SourceFiles
from phoenix_compat.emulator.json_type import JsonObject
from phoenix_compat.emulator.persistence.persistence import Persistence
from phoenix_compat.emulator.persistence.record import RestoredState
from phoenix_compat.emulator.pictures.picture_cache import PictureCache
from phoenix_compat.emulator.predictions.create_body import CreateBody
from phoenix_compat.emulator.predictions.model import Model
from phoenix_compat.emulator.predictions.prediction import Prediction
from phoenix_compat.emulator.predictions.prediction_document import (
    is_data_removed,
    prediction_document,
)
from phoenix_compat.emulator.predictions.prediction_store import PredictionStore
from phoenix_compat.emulator.problem import ProblemError
from phoenix_compat.emulator.rate_limit import RateLimit
from phoenix_compat.emulator.schedule import Schedule, Status, random_schedule
from phoenix_compat.emulator.settings import EmulatorSettings
from phoenix_compat.emulator.timer import Timer
from phoenix_compat.emulator.uploads import Uploads

_ID_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_MAX_WARM_MODELS = 1000
_MAX_DELIVERIES = 1000
_NO_WEBHOOK_URL = "Prediction failed: webhook URL is empty (E4875)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidatedCreate:
    """A create that has passed all checks.

    Attributes:
        origin: `http://host:port` as the client wrote it.
        cancel_after_s: the value of `Cancel-After`.
    """

    model: Model
    version: str
    body: CreateBody
    origin: str
    fault_specs: tuple[FaultSpec, ...] = ()
    cancel_after_s: int | None = None
    deployment: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook that was sent.

    Attributes:
        answer_status: the HTTP status of the answer; None when there was none.
    """

    prediction_id: str
    event: str
    message_id: str
    answer_status: int | None


class EmulatorState:
    """Everything that one emulator holds. The HTTP handlers work on it, and tests inspect it.

    Attributes:
        clock: the emulated time; move it with `advance` and `scale`.
        timer: wakes tasks that wait on the clock.
        faults: the plan in which faults are armed and cleared.
        predictions: the prediction store; iterating yields the oldest first.
        persistence: saves predictions over a restart.
        sources: the files that inputs refer to.
        counts: `requests`, `create_requests`, `created`, `polls`, `lists`, `cancels`, `downloads`,
            `redirects_followed`.
        deliveries: the last 1000 webhooks sent.
    """

    def __init__(self, settings: EmulatorSettings, clock: EmulatorClock | None = None) -> None:
        self.settings = settings
        self.clock = clock or EmulatorClock()
        self.timer = Timer(self.clock)
        self.rng = random.Random(settings.seed)  # noqa: S311 - durations and ids, no secrets
        self.faults = FaultPlan(self.rng)
        self.predictions = PredictionStore(settings.max_predictions)
        self.persistence = Persistence(settings.state_file, self.predictions, settings.retention_s)
        self.uploads = Uploads(settings.max_uploads_bytes)
        self.sources = SourceFiles(self.uploads, settings.input_folder)
        self.picture_cache = PictureCache()
        now_s = self.clock.now_s()
        self.create_limit = self._full_create_limit(now_s)
        per_minute = settings.requests_per_minute
        self.request_limit = RateLimit(per_minute, per_minute, now_s)
        self.counts: Counter[str] = Counter()
        self.deliveries: deque[Delivery] = deque(maxlen=_MAX_DELIVERIES)
        self._warm_models: set[str] = set()

    def new_id(self) -> str:
        """A new id of 26 letters and digits, the format of Replicate's ids."""
        while True:
            fresh = "".join(self.rng.choices(_ID_LETTERS, k=26))
            # After a restart a seeded generator repeats the ids of the previous run.
            if self.predictions.find(fresh) is None:
                return fresh

    async def restore(self) -> RestoredState:
        """Load the predictions of an earlier run. Call it at most once, before anything else.

        It also restores the create limit, the warm models and the count of created predictions.
        Other counts, armed faults, uploads and changes to the clock are not kept.
        """
        restored = await self.persistence.restore()
        now_s = self.clock.now_s()
        for prediction in restored.predictions.values():
            prediction.move_out_of_future(now_s)
            self.predictions.add(prediction, now_s)
            self.counts["created"] = max(self.counts["created"], prediction.sequence)
            self._warm(prediction.model)
        self._restore_create_limit()
        return restored

    def plan(self, create: ValidatedCreate) -> Schedule:
        """Draw the schedule of the new prediction, and apply outcome faults to it."""
        name = create.model.full_name
        schedule = random_schedule(self.rng, self.settings, is_cold=name not in self._warm_models)
        self._warm(create.model)
        if create.body.webhook is not None and create.body.webhook.url == "":
            schedule = replace(schedule, ending=Status.FAILED, error=_NO_WEBHOOK_URL)
        scope = str(create.body.input.get("prompt", ""))
        for fault in self.faults.pick_all(Stage.OUTCOME, create.fault_specs, scope):
            if isinstance(fault.action, ScheduleChange):
                schedule = fault.action.change(schedule)
        return schedule

    def create(
        self,
        create: ValidatedCreate,
        schedule: Schedule,
        inline_output: str | None = None,
        subject: str | None = None,
    ) -> Prediction:
        """Create and store the prediction. At Replicate it would be billed from here on."""
        now_s = self.clock.now_s()
        # Truncated to milliseconds, like `created_at`, which list filters are compared with.
        created_at_s = math.floor(now_s * 1000) / 1000
        self.counts["created"] += 1
        deadline_s = None
        if create.cancel_after_s is not None:
            deadline_s = created_at_s + create.cancel_after_s
        prediction = Prediction(
            id=self.new_id(),
            model=create.model,
            version=create.version,
            input=create.body.input,
            schedule=schedule,
            created_at_s=created_at_s,
            origin=create.origin,
            sequence=self.counts["created"],
            deadline_s=deadline_s,
            deployment=create.deployment,
            webhook=create.body.webhook,
            fault_specs=create.fault_specs,
            inline_output=inline_output,
            subject=subject,
        )
        self.predictions.add(prediction, now_s)
        self.persistence.created(prediction)
        return prediction

    def cancel(self, prediction: Prediction) -> None:
        """Cancel a prediction, and wake the tasks that wait for its end."""
        now_s = self.clock.now_s()
        prediction.cancel(now_s)
        self.persistence.canceled(prediction, now_s)
        self.timer.wake_all()

    def forget(self, prediction_id: str | None) -> int:
        """Delete one prediction, or all (None), without a trace. Returns how many there were."""
        self.persistence.forgotten(prediction_id, self.clock.now_s())
        return self.predictions.forget(prediction_id)

    def document(
        self, prediction: Prediction, origin: str | None = None, *, at_s: float | None = None
    ) -> JsonObject:
        """The prediction object of the API, as of now or of `at_s`.

        URLs begin with `origin`; the default is the origin of the create request.
        """
        return prediction_document(
            prediction,
            self.clock.now_s() if at_s is None else at_s,
            origin=origin or prediction.origin,
            retention_s=self.settings.retention_s,
        )

    def is_data_removed(self, prediction: Prediction) -> bool:
        """True once the data of a prediction has been removed because of its age."""
        return is_data_removed(prediction, self.clock.now_s(), self.settings.retention_s)

    def summary(self) -> JsonObject:
        """The counts, and the number of predictions by status."""
        now_s = self.clock.now_s()
        statuses = Counter(prediction.at(now_s).status.value for prediction in self.predictions)
        return {
            "predictions": len(self.predictions),
            "by_status": dict(statuses),
            "counts": dict(self.counts),
            "faults_struck": dict(self.faults.totals),
        }

    def _warm(self, model: Model) -> None:
        if len(self._warm_models) < _MAX_WARM_MODELS:
            self._warm_models.add(model.full_name)

    def _full_create_limit(self, now_s: float) -> RateLimit:
        per_minute = self.settings.creates_per_minute
        return RateLimit(per_minute, self.settings.create_burst or per_minute, now_s)

    def _restore_create_limit(self) -> None:
        """Charge the create limit for the restored predictions."""
        times_s = sorted(prediction.created_at_s for prediction in self.predictions)
        if times_s:
            self.create_limit = self._full_create_limit(times_s[0])
            for at_s in times_s:
                # The earlier run may have had a higher limit.
                with contextlib.suppress(ProblemError):
                    self.create_limit.take(at_s)
