"""Webhooks: genuine or not, how old, how often, and what they say."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping

import pytest

from phoenix_compat.tasks.model.errors import ProviderUnreachableError
from phoenix_compat.tasks.model.prediction import PredictionState
from phoenix_compat.tasks.provider.webhook_tags import WebhookTags
from phoenix_compat.tasks.provider.webhooks import (
    MAX_REMEMBERED,
    WebhookForgedError,
    WebhookInbox,
    WebhookMalformedError,
    WebhookStaleError,
    is_signed,
)
from phoenix_compat.tasks.worker.run import TaskRun
from tests.integration.worker.fake_provider import START, FakeClock, active, succeeded

# From the documentation of the scheme.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VECTOR = (
    "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "1614265330",
    "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    b'{"test": 2432232314}',
)
NOW = int(START.timestamp())
BODY = json.dumps({"id": "p-1", "status": "succeeded", "output": "https://x.example/a"}).encode()


def signed(
    body: bytes = BODY, *, message_id: str = "m-1", at: object = NOW, secret: str = SECRET
) -> Mapping[str, str]:
    """The headers of a genuine webhook."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{message_id}.{at}.".encode() + body, "sha256")
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


class Secrets:
    """A provider's secret, which can be changed or out of reach; it counts the questions."""

    def __init__(self, secret: str | None = SECRET) -> None:
        self.secret = secret
        self.asked = 0

    async def __call__(self) -> str:
        self.asked += 1
        if self.secret is None:
            raise ProviderUnreachableError("refused")
        return self.secret


@pytest.fixture
def secrets() -> Secrets:
    return Secrets()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def inbox(secrets: Secrets, clock: FakeClock) -> WebhookInbox:
    return WebhookInbox(secrets, clock)


def test_the_documented_signature_is_right() -> None:
    """The scheme's own example passes."""
    message_id, timestamp, signatures, body = VECTOR

    assert is_signed(SECRET, message_id, timestamp, signatures, body)


@pytest.mark.parametrize(
    "changed",
    [
        {"body": VECTOR[3] + b" "},
        {"message_id": "msg_other"},
        {"timestamp": "1614265331"},
        {"signatures": ""},
        {"signatures": "v1,"},
        {"signatures": "v1a" + VECTOR[2][2:]},
        {"signatures": VECTOR[2].replace("v1,", "v2,")},
        {"signatures": "v1,ünïcode"},
        {"secret": "whsec_AAAA"},
        {"secret": "whsec_A"},
    ],
)
def test_any_change_breaks_the_signature(changed: dict[str, str]) -> None:
    """Body, id, time, version and key all count."""
    parts = {"message_id": VECTOR[0], "timestamp": VECTOR[1], "signatures": VECTOR[2]}
    body = changed.pop("body", VECTOR[3])
    secret = changed.pop("secret", SECRET)

    assert not is_signed(secret, raw=body, **(parts | changed))  # type: ignore[arg-type]


def test_one_right_entry_of_several_is_enough() -> None:
    """While a secret is changed two signatures come along."""
    assert is_signed(SECRET, VECTOR[0], VECTOR[1], f"v1,AAAA {VECTOR[2]} v1,BBBB", VECTOR[3])


async def test_a_genuine_webhook_is_a_look(inbox: WebhookInbox, secrets: Secrets) -> None:
    """It is read as a prediction; the secret is asked for once."""
    snapshot = await inbox.opened(signed(), BODY)
    await inbox.opened(signed(message_id="m-2"), BODY)

    assert snapshot is not None
    assert (snapshot.ref.id, snapshot.state) == ("p-1", PredictionState.SUCCEEDED)
    assert secrets.asked == 1


async def test_a_repeat_says_nothing(inbox: WebhookInbox) -> None:
    """The same id counts once."""
    assert await inbox.opened(signed(), BODY) is not None
    assert await inbox.opened(signed(), BODY) is None


async def test_memory_of_ids_is_bounded(inbox: WebhookInbox) -> None:
    """The oldest are forgotten first."""
    for number in range(MAX_REMEMBERED + 10):
        await inbox.opened(signed(message_id=f"m-{number}"), BODY)

    assert len(inbox._seen) == MAX_REMEMBERED
    assert "m-0" not in inbox._seen


@pytest.mark.parametrize("offset_s", [-301, 301, -3_600, 10**8])
async def test_an_old_or_early_webhook_is_refused(inbox: WebhookInbox, offset_s: int) -> None:
    """Five minutes either way, so that a recorded one is of no use."""
    with pytest.raises(WebhookStaleError):
        await inbox.opened(signed(at=NOW + offset_s), BODY)


@pytest.mark.parametrize("offset_s", [-299, 299])
async def test_clocks_may_differ(inbox: WebhookInbox, offset_s: int) -> None:
    """Within five minutes it counts."""
    assert await inbox.opened(signed(at=NOW + offset_s), BODY) is not None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"webhook-id": "m-1"},
        {key: value for key, value in signed().items() if key != "webhook-signature"},
        signed(at="soon"),
        signed(at="-5"),
        signed(at="9" * 400),
        signed(at="\N{FULLWIDTH DIGIT ONE}"),
    ],
)
async def test_missing_headers_are_refused(
    inbox: WebhookInbox, secrets: Secrets, headers: Mapping[str, str]
) -> None:
    """Without an id, a time or a signature it is no webhook, and nobody is asked about it."""
    with pytest.raises(WebhookMalformedError):
        await inbox.opened(headers, BODY)
    assert secrets.asked == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"id": 5}', b'{"id": "../x"}', b"\xff", b"[" * 100_000],
)
async def test_a_body_that_is_no_prediction_is_refused(inbox: WebhookInbox, body: bytes) -> None:
    """Signed or not, it says nothing we understand."""
    with pytest.raises(WebhookMalformedError):
        await inbox.opened(signed(body), body)


async def test_a_forged_webhook_is_refused(inbox: WebhookInbox, secrets: Secrets) -> None:
    """However many come, the secret is asked for at most once a minute."""
    for number in range(20):
        headers = signed(message_id=f"m-{number}", secret="whsec_AAAA")
        with pytest.raises(WebhookForgedError):
            await inbox.opened(headers, BODY)

    assert secrets.asked == 1


async def test_a_changed_secret_is_fetched(
    inbox: WebhookInbox, secrets: Secrets, clock: FakeClock
) -> None:
    """A signature that does not fit has us ask again, when the last answer is old."""
    await inbox.opened(signed(), BODY)
    secrets.secret = "whsec_" + base64.b64encode(b"another key").decode()
    clock.elapsed_s = 61.0

    headers = signed(message_id="m-2", at=NOW + 61, secret=secrets.secret)

    assert await inbox.opened(headers, BODY) is not None


async def test_a_secret_out_of_reach_makes_it_a_hint(clock: FakeClock) -> None:
    """It cannot be believed, so it says no more than that a look is worth it."""
    inbox = WebhookInbox(Secrets(None), clock)

    assert await inbox.opened(signed(), BODY) is None


def test_tags_belong_to_one_task_and_one_server() -> None:
    """They are the same after a restart, and nobody else can make them."""
    tag = WebhookTags("r8_secret").tag("t-1")

    assert WebhookTags("r8_secret").is_right("t-1", tag)
    assert not WebhookTags("r8_secret").is_right("t-2", tag)
    assert not WebhookTags("r8_other").is_right("t-1", tag)
    assert not WebhookTags("r8_secret").is_right("t-1", "ü")
    assert "r8" not in tag


def test_an_end_is_not_hidden_by_what_came_before() -> None:
    """A webhook that was overtaken leaves the end in its place."""
    run = TaskRun(is_resumed=False)

    run.report(succeeded())
    run.report(active())

    assert run.reports["p-1"].state is PredictionState.SUCCEEDED
    assert run.wake.is_set()
