"""Webhooks: signatures, age, repeats, and the predictions in them."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import Mapping
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phoenix_compat.tasks.model.errors import ProviderUnreachableError
from phoenix_compat.tasks.model.prediction import PredictionState
from phoenix_compat.tasks.provider.webhook_tags import WebhookTags
from phoenix_compat.tasks.provider.webhooks import (
    MAX_REMEMBERED_IDS,
    WebhookForgedError,
    WebhookMalformedError,
    WebhookStaleError,
    WebhookVerifier,
    is_signed,
)
from phoenix_compat.tasks.worker.run_state import TaskRun
from tests.integration.worker.fake_provider import START, FakeClock, active, succeeded

# From the documentation of Standard Webhooks.
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


class FakeSecret:
    """The provider's signing secret, which can change or be unavailable; counts its fetches."""

    def __init__(self, secret: str | None = SECRET) -> None:
        self.secret = secret
        self.fetches = 0

    async def __call__(self) -> str:
        self.fetches += 1
        if self.secret is None:
            raise ProviderUnreachableError("refused")
        return self.secret


@pytest.fixture
def fake_secret() -> FakeSecret:
    return FakeSecret()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def verifier(fake_secret: FakeSecret, clock: FakeClock) -> WebhookVerifier:
    return WebhookVerifier(fake_secret, clock)


def test_the_documented_signature_is_right() -> None:
    """The example of the specification is accepted."""
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
    """Body, id, timestamp, version and key are all covered by the signature."""
    parts = {"message_id": VECTOR[0], "timestamp": VECTOR[1], "signatures": VECTOR[2]}
    body = changed.pop("body", VECTOR[3])
    secret = changed.pop("secret", SECRET)

    assert not is_signed(secret, raw=body, **(parts | changed))  # type: ignore[arg-type]


def test_one_valid_entry_of_several_is_enough() -> None:
    """While the secret is being rotated a webhook has two signatures."""
    assert is_signed(SECRET, VECTOR[0], VECTOR[1], f"v1,AAAA {VECTOR[2]} v1,BBBB", VECTOR[3])


async def test_a_genuine_webhook_gives_a_prediction(
    verifier: WebhookVerifier, fake_secret: FakeSecret
) -> None:
    """Its prediction is returned; the secret is fetched once."""
    snapshot = await verifier.verify(signed(), BODY)
    await verifier.verify(signed(message_id="m-2"), BODY)

    assert snapshot is not None
    assert (snapshot.ref.id, snapshot.state) == ("p-1", PredictionState.SUCCEEDED)
    assert fake_secret.fetches == 1


async def test_a_repeated_webhook_is_ignored(verifier: WebhookVerifier) -> None:
    """A second webhook with the same id gives None."""
    assert await verifier.verify(signed(), BODY) is not None
    assert await verifier.verify(signed(), BODY) is None


async def test_the_number_of_remembered_ids_is_limited(verifier: WebhookVerifier) -> None:
    """The oldest ids are forgotten first."""
    for number in range(MAX_REMEMBERED_IDS + 10):
        await verifier.verify(signed(message_id=f"m-{number}"), BODY)

    assert len(verifier._seen) == MAX_REMEMBERED_IDS
    assert "m-0" not in verifier._seen


@pytest.mark.parametrize("offset_s", [-301, 301, -3_600, 10**8])
async def test_an_old_or_early_webhook_is_refused(verifier: WebhookVerifier, offset_s: int) -> None:
    """A timestamp that differs by more than five minutes is refused."""
    with pytest.raises(WebhookStaleError):
        await verifier.verify(signed(at=NOW + offset_s), BODY)


@pytest.mark.parametrize("offset_s", [-299, 299])
async def test_clocks_may_differ(verifier: WebhookVerifier, offset_s: int) -> None:
    """A timestamp that differs by less than five minutes is accepted."""
    assert await verifier.verify(signed(at=NOW + offset_s), BODY) is not None


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
    verifier: WebhookVerifier, fake_secret: FakeSecret, headers: Mapping[str, str]
) -> None:
    """Without a valid id, timestamp or signature it is refused, and no secret is fetched."""
    with pytest.raises(WebhookMalformedError):
        await verifier.verify(headers, BODY)
    assert fake_secret.fetches == 0


header_texts = (
    st.binary(max_size=60).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
    | st.text(max_size=20)
    | st.sampled_from(["v1,", "v1", ",", "v1,AAAA " * 1_000, "v1,\udcff", "\ud800", "9" * 13])
    | st.sampled_from(list(signed().values()))
)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(header_texts, header_texts, header_texts)
def test_any_header_is_refused_or_genuine(message_id: str, timestamp: str, signature: str) -> None:
    """S13: whatever bytes are in the headers, a webhook is malformed, stale or forged."""
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature,
    }

    async def verify() -> None:
        if headers == signed():
            return
        with pytest.raises((WebhookMalformedError, WebhookStaleError, WebhookForgedError)):
            await WebhookVerifier(FakeSecret(), FakeClock()).verify(headers, BODY)

    asyncio.run(verify())


async def test_a_signature_of_other_bytes_is_forged(verifier: WebhookVerifier) -> None:
    """S13: byte 0xff beside a genuine id and time."""
    for signature in ("v1,\udcff", "\udcff", "v1,é", "v1," + "A" * 44, "v2," + "A" * 44):
        with pytest.raises(WebhookForgedError):
            await verifier.verify({**signed(), "webhook-signature": signature}, BODY)


async def test_many_signatures_are_refused(verifier: WebhookVerifier) -> None:
    """Their number and the size of the header are limited, even if the last one is valid."""
    valid = signed()["webhook-signature"]

    assert await verifier.verify({**signed(), "webhook-signature": f"v1,AA {valid}"}, BODY)
    with pytest.raises(WebhookForgedError):
        await verifier.verify({**signed(), "webhook-signature": "v1,AA " * 16 + valid}, BODY)
    with pytest.raises(WebhookMalformedError):
        await verifier.verify({**signed(), "webhook-signature": "v1,AA " * 1_000 + valid}, BODY)


@pytest.mark.parametrize("message_id", ["", " ", "m\udcff", "é", "m" * 257, "m\x7f", "a b"])
async def test_an_id_must_be_visible_ascii(verifier: WebhookVerifier, message_id: str) -> None:
    """It is remembered, so it is short."""
    with pytest.raises(WebhookMalformedError):
        await verifier.verify({**signed(), "webhook-id": message_id}, BODY)


@pytest.mark.parametrize("secret", ["whsec_é", "whsec_\udcff", "whsec_A", "é"])
async def test_a_secret_that_is_not_base64_signs_nothing(clock: FakeClock, secret: str) -> None:
    """The provider's mistake makes no webhook genuine and raises nothing else."""
    with pytest.raises(WebhookForgedError):
        await WebhookVerifier(FakeSecret(secret), clock).verify(signed(), BODY)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"id": 5}', b'{"id": "../x"}', b"\xff", b"[" * 100_000],
)
async def test_a_body_without_a_prediction_is_refused(
    verifier: WebhookVerifier, body: bytes
) -> None:
    """A body that is not a prediction is malformed, even if it is signed."""
    with pytest.raises(WebhookMalformedError):
        await verifier.verify(signed(body), body)


async def test_a_forged_webhook_is_refused(
    verifier: WebhookVerifier, fake_secret: FakeSecret
) -> None:
    """For many forged webhooks the secret is fetched at most once a minute."""
    for number in range(20):
        headers = signed(message_id=f"m-{number}", secret="whsec_AAAA")
        with pytest.raises(WebhookForgedError):
            await verifier.verify(headers, BODY)

    assert fake_secret.fetches == 1


async def test_a_changed_secret_is_fetched(
    verifier: WebhookVerifier, fake_secret: FakeSecret, clock: FakeClock
) -> None:
    """After a wrong signature the secret is fetched again, if the last fetch is old enough."""
    await verifier.verify(signed(), BODY)
    fake_secret.secret = "whsec_" + base64.b64encode(b"another key").decode()
    clock.elapsed_s = 61.0

    headers = signed(message_id="m-2", at=NOW + 61, secret=fake_secret.secret)

    assert await verifier.verify(headers, BODY) is not None


async def test_without_a_secret_a_webhook_is_ignored(clock: FakeClock) -> None:
    """A webhook that cannot be verified gives None."""
    verifier = WebhookVerifier(FakeSecret(None), clock)

    assert await verifier.verify(signed(), BODY) is None


def test_tags_belong_to_one_task_and_one_server() -> None:
    """A tag is valid for its task and its secret only."""
    tag = WebhookTags("r8_secret").tag("t-1")

    assert WebhookTags("r8_secret").is_valid("t-1", tag)
    assert not WebhookTags("r8_secret").is_valid("t-2", tag)
    assert not WebhookTags("r8_other").is_valid("t-1", tag)
    assert not WebhookTags("r8_secret").is_valid("t-1", "ü")
    assert "r8" not in tag


def test_tags_of_other_texts_are_wrong() -> None:
    """S13: bytes that are not UTF-8 in the query."""
    tags = WebhookTags("secret")

    for text in ("\udcff", "\ud800", "é", ""):
        assert not tags.is_valid("t-1", text)
        assert not tags.is_valid(text, tags.tag("t-1"))


def test_a_late_webhook_does_not_hide_the_end() -> None:
    """A webhook that arrives after that of the end does not replace it."""
    run = TaskRun(is_resumed=False)

    run.report(succeeded())
    run.report(active())

    assert run.reports["p-1"].state is PredictionState.SUCCEEDED
    assert run.wake.is_set()


@pytest.mark.parametrize("jump_s", [-3_600, 3_600])
async def test_a_clock_that_is_set_refuses_no_webhook(
    fake_secret: FakeSecret, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, jump_s: int
) -> None:
    """D6: after the wall clock was set, webhooks of the true time and of the new one are taken; an
    old one is still refused."""
    verifier = WebhookVerifier(fake_secret, clock)
    clock.elapsed_s = 1_000.0
    wall = clock.now() + timedelta(seconds=jump_s)
    monkeypatch.setattr(clock, "now", lambda: wall)

    for number, at in enumerate((NOW + 1_000, NOW + 1_000 + jump_s)):
        headers = signed(message_id=f"m-{number}", at=at)
        assert await verifier.verify(headers, BODY) is not None
    with pytest.raises(WebhookStaleError):
        await verifier.verify(signed(message_id="m-9", at=NOW), BODY)
