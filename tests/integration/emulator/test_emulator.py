"""The emulator, used through Replicate's SDK over real sockets."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import aiohttp
import pytest
import replicate
from PIL import Image
from replicate import AsyncReplicate, DefaultAioHttpClient
from replicate.types import Prediction

from phoenix_compat.emulator import Emulator, EmulatorSettings


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator with a stopped clock."""
    async with Emulator(EmulatorSettings()) as emulator:
        emulator.state.clock.scale(0)
        yield emulator


@pytest.fixture
async def sdk(emulator: Emulator) -> AsyncIterator[AsyncReplicate]:
    """The SDK, configured like the worker's."""
    async with AsyncReplicate(
        bearer_token="r8_test",
        base_url=emulator.base_url,
        max_retries=0,
        http_client=DefaultAioHttpClient(),
    ) as client:
        yield client


async def create(sdk: AsyncReplicate, prompt: str = "Medieval monk", **given: object) -> Prediction:
    """Create a prediction of imagen-4-fast."""
    return await sdk.models.predictions.create(
        model_owner="google", model_name="imagen-4-fast", input={"prompt": prompt, **given}
    )


async def test_a_prediction_goes_from_starting_to_succeeded(
    emulator: Emulator, sdk: AsyncReplicate
) -> None:
    """As time passes, polls see starting, processing and succeeded."""
    prediction = await create(sdk)
    statuses: list[str] = [prediction.status]
    for seconds in (1, 10):
        emulator.state.clock.advance(seconds)
        statuses.append((await sdk.predictions.get(prediction_id=prediction.id)).status)

    assert statuses == ["starting", "processing", "succeeded"]
    assert prediction.version == "hidden"


@pytest.mark.parametrize(("aspect_ratio", "size"), [("16:9", (1408, 768)), ("3:4", (896, 1280))])
async def test_the_output_is_a_picture_with_the_requested_aspect_ratio(
    emulator: Emulator, sdk: AsyncReplicate, aspect_ratio: str, size: tuple[int, int]
) -> None:
    """The URL works without a token and returns a picture with this aspect ratio."""
    prediction = await create(sdk, aspect_ratio=aspect_ratio)
    emulator.state.clock.advance(10)
    url = (await sdk.predictions.get(prediction_id=prediction.id)).output

    async with aiohttp.ClientSession() as session, session.get(str(url)) as answer:
        picture = Image.open(io.BytesIO(await answer.read()))

    assert (answer.content_type, picture.format, picture.size) == ("image/jpeg", "JPEG", size)


async def test_cancel_returns_the_whole_prediction(emulator: Emulator, sdk: AsyncReplicate) -> None:
    """A running prediction is canceled at once, and a second cancel returns the same."""
    prediction = await create(sdk)
    emulator.state.clock.advance(1)

    first = await sdk.predictions.cancel(prediction_id=prediction.id)
    second = await sdk.predictions.cancel(prediction_id=prediction.id)

    assert first.status == "canceled"
    assert first.completed_at is not None
    assert first.to_dict() == second.to_dict()


async def test_the_list_has_pages(emulator: Emulator, sdk: AsyncReplicate) -> None:
    """The SDK's iterator reads all pages, newest first."""
    created = [(await create(sdk, str(number))).id for number in range(105)]

    listed = [prediction.id async for prediction in sdk.predictions.list()]

    assert listed == created[::-1]
    assert emulator.state.counts["lists"] == 2


async def test_prefer_wait_answers_at_output_time(emulator: Emulator, sdk: AsyncReplicate) -> None:
    """A create with `Prefer: wait` returns the output while the status is still processing."""
    emulator.state.clock.scale(50)

    prediction = await sdk.predictions.create(
        version="black-forest-labs/flux-schnell", input={"prompt": "x"}, prefer="wait"
    )

    assert prediction.status == "processing"
    assert isinstance(prediction.output, list)
    assert prediction.logs == ""
    assert prediction.metrics is None


async def test_a_deadline_in_the_starting_phase_aborts(
    emulator: Emulator, sdk: AsyncReplicate
) -> None:
    """Cancel-After sets the deadline; a prediction that has not started by then is aborted."""
    prediction = await sdk.models.predictions.create(
        model_owner="google",
        model_name="imagen-4-fast",
        input={"prompt": "#fault:stuck_starting"},
        cancel_after="30s",
    )
    emulator.state.clock.advance(31)

    ended = await sdk.predictions.get(prediction_id=prediction.id)

    assert prediction.deadline is not None
    assert str(ended.status) == "aborted"


async def test_a_text_model_answers_in_chunks(emulator: Emulator, sdk: AsyncReplicate) -> None:
    """Its output is a list of texts that together are the answer."""
    prediction = await sdk.predictions.create(
        version="meta/meta-llama-3-8b-instruct", input={"prompt": "the weather"}
    )
    emulator.state.clock.advance(10)

    output = (await sdk.predictions.get(prediction_id=prediction.id)).output

    assert isinstance(output, list)
    assert "the weather" in "".join(str(chunk) for chunk in output)


async def test_account_model_and_secret_can_be_read(sdk: AsyncReplicate) -> None:
    """The SDK can parse the responses of the other routes."""
    account = await sdk.account.get()
    model = await sdk.models.get(model_owner="google", model_name="imagen-4-fast")
    secret = await sdk.webhooks.default.secret.get()

    assert account.username == "emulated"
    assert model.name == "imagen-4-fast"
    assert (secret.key or "").startswith("whsec_")


async def test_a_file_can_be_uploaded_and_deleted(sdk: AsyncReplicate) -> None:
    """The SDK can upload, list and delete a file."""
    uploaded = await sdk.files.create(content=b"bytes of a picture", filename="in.png")

    listed = [file.id async for file in sdk.files.list()]
    await sdk.files.delete(file_id=uploaded.id)

    assert uploaded.size == 18
    assert listed == [uploaded.id]
    with pytest.raises(replicate.NotFoundError):
        await sdk.files.get(file_id=uploaded.id)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("429", replicate.RateLimitError),
        ("401", replicate.AuthenticationError),
        ("422", replicate.UnprocessableEntityError),
        ("502", replicate.InternalServerError),
        ("reset_after", replicate.APIConnectionError),
    ],
)
async def test_faults_become_the_sdks_errors(
    emulator: Emulator, sdk: AsyncReplicate, fault: str, error: type[Exception]
) -> None:
    """The SDK raises the error that it raises for the real failure, and the next try succeeds."""
    prompt = f"a monk #fault:{fault}x1"

    with pytest.raises(error):
        await create(sdk, prompt)

    assert (await create(sdk, prompt)).status == "starting"
    assert emulator.state.faults.totals == {fault: 1}


async def test_a_taken_port_is_an_error(emulator: Emulator) -> None:
    """Entering with a port that is in use raises OSError."""
    port = int(emulator.origin.rpartition(":")[2])

    with pytest.raises(OSError, match="in use"):
        async with Emulator(EmulatorSettings(port=port)):
            pass


def test_there_is_no_url_before_it_listens() -> None:
    """Before it listens, `base_url` raises an error that says how to start it."""
    with pytest.raises(RuntimeError, match="async with"):
        _ = Emulator().base_url
