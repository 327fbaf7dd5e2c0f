"""The whole state of one emulator, and the moves on it that are not HTTP."""

from __future__ import annotations

import contextlib
import math
import random
from collections import Counter, deque
from dataclasses import dataclass, replace

from phoenix_compat.emulator.clock import EmulatorClock
from phoenix_compat.emulator.faults.fault import Rewrite, Stage
from phoenix_compat.emulator.faults.fault_plan import FaultPlan, Mark
from phoenix_compat.emulator.json_type import JsonObject
from phoenix_compat.emulator.persistence.persistence import Persistence
from phoenix_compat.emulator.persistence.record import Recollection
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
from phoenix_compat.emulator.schedule import Schedule, Status, ordinary_schedule
from phoenix_compat.emulator.settings import EmulatorSettings
from phoenix_compat.emulator.timer import Timer
from phoenix_compat.emulator.uploads import Uploads

_ID_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_MAX_WARM_MODELS = 1000
_MAX_DELIVERIES = 1000
_NO_WEBHOOK_URL = "Prediction failed: webhook URL is empty (E4875)"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOrder:
    """A create that has passed all checks.

    Attributes:
        origin: `http://host:port` as the client wrote it.
        cancel_after_s: from `Cancel-After`.
    """

    model: Model
    version: str
    body: CreateBody
    origin: str
    marks: tuple[Mark, ...] = ()
    cancel_after_s: int | None = None
    deployment: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook that was sent: what for, and what came back (None: no answer)."""

    prediction_id: str
    event: str
    message_id: str
    answer_status: int | None


class EmulatorState:
    """What tests look at and the HTTP side works on.

    Attributes:
        clock: the time; move it with `advance` and `scale`. timer: wakes what waits on it.
        faults: arm and clear them here.
        predictions: the prediction store, oldest first when iterated. persistence: what outlives
        the process.
        counts: `requests`, `create_requests`, `created`, `polls`, `lists`, `cancels`, `downloads`,
            `redirects_followed`.
        deliveries: the last webhooks sent.
    """

    def __init__(self, settings: EmulatorSettings, clock: EmulatorClock | None = None) -> None:
        self.settings = settings
        self.clock = clock or EmulatorClock()
        self.timer = Timer(self.clock)
        self.dice = random.Random(settings.seed)  # noqa: S311 - durations and ids, no secrets
        self.faults = FaultPlan(self.dice)
        self.predictions = PredictionStore(settings.max_predictions)
        self.persistence = Persistence(settings.state_file, self.predictions, settings.retention_s)
        self.uploads = Uploads(settings.max_uploads_bytes)
        self.picture_cache = PictureCache()
        now_s = self.clock.now_s()
        self.create_limit = self._full_create_limit(now_s)
        per_minute = settings.requests_per_minute
        self.request_limit = RateLimit(per_minute, per_minute, now_s)
        self.counts: Counter[str] = Counter()
        self.deliveries: deque[Delivery] = deque(maxlen=_MAX_DELIVERIES)
        self._warm_models: set[str] = set()

    def new_id(self) -> str:
        """26 letters and digits, as Replicate's ids look."""
        while True:
            fresh = "".join(self.dice.choices(_ID_LETTERS, k=26))
            # After a restart a seed begins again with the ids that it gave out before.
            if self.predictions.find(fresh) is None:
                return fresh

    async def recall(self) -> Recollection:
        """Take up the predictions of an earlier run, as they are by now; at most once, and first.

        Back are also the limit on creates and the warm models. Counts, armed faults, uploads and
        a clock that was moved are not.
        """
        told = await self.persistence.recall()
        now_s = self.clock.now_s()
        for prediction in told.predictions.values():
            prediction.bring_back(now_s)
            self.predictions.add(prediction, now_s)
            self.counts["created"] = max(self.counts["created"], prediction.sequence)
            self._warm(prediction.model)
        self._recall_limit()
        return told

    def plan(self, order: CreateOrder) -> Schedule:
        """Decide what will become of such a prediction, outcome faults included."""
        name = order.model.full_name
        schedule = ordinary_schedule(
            self.dice, self.settings, is_cold=name not in self._warm_models
        )
        self._warm(order.model)
        if order.body.webhook is not None and order.body.webhook.url == "":
            schedule = replace(schedule, ending=Status.FAILED, error=_NO_WEBHOOK_URL)
        scope = str(order.body.input.get("prompt", ""))
        for fault in self.faults.pick_all(Stage.OUTCOME, order.marks, scope):
            if isinstance(fault.action, Rewrite):
                schedule = fault.action.change(schedule)
        return schedule

    def create(
        self, order: CreateOrder, schedule: Schedule, inline_output: str | None = None
    ) -> Prediction:
        """Make the prediction and remember it. From here on it costs money."""
        now_s = self.clock.now_s()
        # Cut to the millisecond: that is what created_at says, and filters compare with it.
        created_at_s = math.floor(now_s * 1000) / 1000
        self.counts["created"] += 1
        deadline_s = None
        if order.cancel_after_s is not None:
            deadline_s = created_at_s + order.cancel_after_s
        prediction = Prediction(
            id=self.new_id(),
            model=order.model,
            version=order.version,
            input=order.body.input,
            schedule=schedule,
            created_at_s=created_at_s,
            origin=order.origin,
            sequence=self.counts["created"],
            deadline_s=deadline_s,
            deployment=order.deployment,
            webhook=order.body.webhook,
            marks=order.marks,
            inline_output=inline_output,
        )
        self.predictions.add(prediction, now_s)
        self.persistence.created(prediction)
        return prediction

    def cancel(self, prediction: Prediction) -> None:
        """Cancel it, and wake whoever waits for its end."""
        now_s = self.clock.now_s()
        prediction.cancel(now_s)
        self.persistence.canceled(prediction, now_s)
        self.timer.ring()

    def forget(self, prediction_id: str | None) -> int:
        """Forget this one, or all, as if they had never been. Returns how many went."""
        self.persistence.forgot(prediction_id, self.clock.now_s())
        return self.predictions.forget(prediction_id)

    def document(
        self, prediction: Prediction, origin: str | None = None, *, at_s: float | None = None
    ) -> JsonObject:
        """The prediction object as of now, or of `at_s`.

        URLs begin with `origin`, else with the one that its creator used.
        """
        return prediction_document(
            prediction,
            self.clock.now_s() if at_s is None else at_s,
            origin=origin or prediction.origin,
            retention_s=self.settings.retention_s,
        )

    def is_data_removed(self, prediction: Prediction) -> bool:
        """True once its files are gone."""
        return is_data_removed(prediction, self.clock.now_s(), self.settings.retention_s)

    def summary(self) -> JsonObject:
        """The counts, and how many predictions are in which status."""
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

    def _recall_limit(self) -> None:
        """What the creates of the last minutes have used up stays used."""
        times_s = sorted(prediction.created_at_s for prediction in self.predictions)
        if times_s:
            self.create_limit = self._full_create_limit(times_s[0])
            for at_s in times_s:
                # More than allowed were made by an emulator with another limit.
                with contextlib.suppress(ProblemError):
                    self.create_limit.take(at_s)
