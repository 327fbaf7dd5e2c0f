"""Signatures of webhooks and download links."""

from __future__ import annotations

from phoenix_compat.emulator.signature import download_signature, webhook_headers


def test_the_known_vector() -> None:
    """The published example of Standard Webhooks gives the published signature."""
    headers = webhook_headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_download_link_is_bound_to_owner_file_and_time() -> None:
    """Each part changes the signature."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    links = [("me", "f", "1"), ("you", "f", "1"), ("me", "g", "1"), ("me", "f", "2")]

    assert len({download_signature(secret, *link) for link in links}) == 4
