"""The idempotency keys of what was published are limited in number and age."""

from __future__ import annotations

from phoenix_compat.server.backends.published_keys import KEY_RETENTION_S, PublishedKeys


def test_a_key_belongs_to_its_owner() -> None:
    """The same key of another owner is another key."""
    keys = PublishedKeys()

    keys.add("ada", "one", "a")

    assert keys.fingerprint("ada", "one") == "a"
    assert keys.fingerprint("bob", "one") is None


def test_the_oldest_key_is_forgotten_first_and_counted() -> None:
    """There are never more than the limit."""
    keys = PublishedKeys(max_keys=2)

    for name in ("one", "two", "three"):
        keys.add("", name, name)

    assert [keys.fingerprint("", name) for name in ("one", "two", "three")] == [
        None,
        "two",
        "three",
    ]
    assert keys.forgotten == 1


def test_an_old_key_is_forgotten_without_being_counted() -> None:
    """A key lasts a day."""
    now_s = 0.0
    keys = PublishedKeys(now_s=lambda: now_s)
    keys.add("", "one", "a")

    now_s = KEY_RETENTION_S + 1

    assert keys.fingerprint("", "one") is None
    assert keys.forgotten == 0
