"""Key sets by URL: rotation, and issuers that hang, fail or answer nonsense."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from phoenix_compat.server.auth.errors import AuthUnavailableError
from phoenix_compat.server.auth.jwt import jwks_url
from phoenix_compat.server.auth.jwt.jwks_url import MAX_BODY_BYTES, JwksTimes, JwksUrl
from tests.integration.auth.jwks_server import JwksServer
from tests.patience import patient
from tests.unit.server.auth.jwt_builder import jwk, key_set, rsa_key

FIRST = key_set(jwk(rsa_key(), "r1"))
ROTATED = key_set(jwk(rsa_key(1), "r2"))
NEVER_S = 3_600.0


def times(**changes: float) -> JwksTimes:
    """Nothing is fetched by itself after the start, and everything waits long."""
    return JwksTimes(
        **{
            "refresh_s": NEVER_S,
            "min_interval_s": NEVER_S,
            "wait_s": patient(10.0),
            "first_retry_s": NEVER_S,
            "last_retry_s": NEVER_S,
            **changes,
        }
    )


@pytest.fixture
async def issuer() -> AsyncIterator[JwksServer]:
    """An issuer with one key."""
    async with JwksServer.started(FIRST) as server:
        yield server


async def test_the_first_token_waits_for_the_keys(issuer: JwksServer) -> None:
    """The server starts without them, and then finds the key by its id."""
    async with JwksUrl(issuer.url, times()) as source:
        key = await source.find("RS256", "r1")

    assert key == rsa_key().public_key()
    assert issuer.requests == source.counts.fetches == 1


async def test_an_unknown_key_is_looked_for_once(issuer: JwksServer) -> None:
    """A rotated key is found at once; further unknown ids cost the issuer nothing."""
    async with JwksUrl(issuer.url, times()) as source:
        await source.find("RS256", "r1")
        issuer.body = ROTATED

        rotated = await source.find("RS256", "r2")
        unknown = [await source.find("RS256", f"x{number}") for number in range(50)]
        old = await source.find("RS256", "r1")

    assert rotated == rsa_key(1).public_key()
    assert set(unknown) == {None}
    assert old is None
    assert issuer.requests == 2


async def test_many_tokens_wait_for_one_fetch(issuer: JwksServer) -> None:
    """However many arrive at the same time."""
    async with JwksUrl(issuer.url, times()) as source:
        await source.find("RS256", "r1")
        issuer.body = ROTATED

        found = await asyncio.gather(*(source.find("RS256", "r2") for _ in range(100)))

    assert found == [rsa_key(1).public_key()] * 100
    assert issuer.requests == 2


async def test_the_set_is_renewed_by_itself(issuer: JwksServer) -> None:
    """Without a token that asks for it."""
    async with JwksUrl(issuer.url, times(refresh_s=0.01)) as source:
        await source.find("RS256", "r1")
        issuer.body = ROTATED
        async with asyncio.timeout(patient(10.0)):
            await issuer.was_asked(issuer.requests + 2)

        assert await source.find("RS256", "r1") is None
        assert await source.find("RS256", "r2") is not None


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (500, FIRST, {}),
        (404, b"", {}),
        (302, b"", {"Location": "/keys"}),
        (200, b"<html>", {}),
        (200, b"{}", {}),
        (200, b'{"keys": []}', {}),
        (200, b"[" * 100_000, {}),
        (200, FIRST + b" " * MAX_BODY_BYTES, {}),
    ],
    ids=["500", "404", "redirect", "page", "no set", "empty", "deep", "giant"],
)
async def test_keys_stay_when_a_fetch_fails(
    issuer: JwksServer, status: int, body: bytes, headers: dict[str, str]
) -> None:
    """Whatever the issuer answers."""
    async with JwksUrl(issuer.url, times()) as source:
        await source.find("RS256", "r1")
        issuer.status, issuer.body, issuer.headers = status, body, headers

        unknown = await source.find("RS256", "x")
        known = await source.find("RS256", "r1")

    assert (unknown, known) == (None, rsa_key().public_key())
    assert source.counts.failures == 1


async def test_without_any_keys_nothing_is_decided(issuer: JwksServer) -> None:
    """A token may be good, so it is not refused; the fetch is tried again by itself."""
    issuer.status = 500
    async with JwksUrl(issuer.url, times(first_retry_s=0.05)) as source:
        with pytest.raises(AuthUnavailableError):
            await source.find("RS256", "r1")
        issuer.status = 200

        await until_it_has_keys(source)

    assert source.counts.failures >= 1


async def until_it_has_keys(source: JwksUrl) -> None:
    """Look for the first key until it is there."""
    async with asyncio.timeout(patient(10.0)):
        while True:
            with contextlib.suppress(AuthUnavailableError):
                assert await source.find("RS256", "r1") is not None
                return
            await asyncio.sleep(0.01)


async def test_an_issuer_that_hangs(issuer: JwksServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token waits for a limited time, known keys do not wait, and the fetch is given up."""
    monkeypatch.setattr(jwks_url, "FETCH_TIMEOUT_S", 0.5)
    async with JwksUrl(issuer.url, times(wait_s=0.1)) as source:
        await until_it_has_keys(source)
        issuer.is_hanging = True

        began_s = time.monotonic()
        unknown = await source.find("ES256", "x")
        waited_s = time.monotonic() - began_s
        known = await source.find("RS256", "r1")
        async with asyncio.timeout(patient(10.0)):
            while not source.counts.failures:  # noqa: ASYNC110 - a counter
                await asyncio.sleep(0.01)

    assert unknown is None
    assert known is not None
    assert 0.09 < waited_s < patient(2.0)


async def test_nobody_listens() -> None:
    """As with an error of the issuer."""
    async with JwksUrl("http://127.0.0.1:9/keys", times()) as source:
        with pytest.raises(AuthUnavailableError):
            await source.find("RS256", "r1")

    assert source.counts.failures == 1
