"""What a process remembers of the leader's answers about keys."""

from __future__ import annotations

from phoenix_compat.server.auth.keys.api_keys import ApiKey
from phoenix_compat.server.auth.keys.remembered_keys import Answer, RememberedKeys
from phoenix_compat.server.auth.principal import Scope

PHONE = ApiKey(name="phone", scopes=frozenset({Scope.READ}))


def test_an_answer_is_remembered_for_a_while() -> None:
    """A key that was found and one that was not are both known until their time is over."""
    remembered = RememberedKeys(remember_s=5.0)

    remembered.put("found", PHONE, 100.0)
    remembered.put("unknown", None, 100.0)

    assert remembered.get("found", 104.9) == Answer(PHONE)
    assert remembered.get("unknown", 104.9) == Answer(None)
    assert remembered.get("found", 105.0) is None
    assert remembered.get("unknown", 105.0) is None


def test_a_later_answer_replaces_the_earlier_one() -> None:
    """A key that was revoked is no longer found, and the other way round."""
    remembered = RememberedKeys()

    remembered.put("one", PHONE, 0.0)
    remembered.put("one", None, 1.0)
    remembered.put("two", None, 0.0)
    remembered.put("two", PHONE, 1.0)

    assert remembered.get("one", 2.0) == Answer(None)
    assert remembered.get("two", 2.0) == Answer(PHONE)
    assert len(remembered) == 2


def test_guesses_push_out_guesses_and_no_keys() -> None:
    """Any number of unknown keys leaves the keys that were found, and memory is bounded."""
    remembered = RememberedKeys(max_remembered=10)
    remembered.put("found", PHONE, 0.0)

    for number in range(1_000):
        remembered.put(f"guess {number}", None, 0.0)

    assert remembered.get("found", 1.0) == Answer(PHONE)
    assert remembered.get("guess 0", 1.0) is None
    assert remembered.get("guess 999", 1.0) == Answer(None)
    assert len(remembered) == 11


def test_the_oldest_keys_are_dropped() -> None:
    """Found keys are bounded too."""
    remembered = RememberedKeys(max_remembered=2)

    for name in ("a", "b", "c"):
        remembered.put(name, PHONE, 0.0)

    assert [remembered.get(name, 1.0) for name in ("a", "b", "c")] == [
        None,
        Answer(PHONE),
        Answer(PHONE),
    ]


def test_nothing_is_left_after_clear() -> None:
    """A revocation makes a process ask again about every key."""
    remembered = RememberedKeys()
    remembered.put("found", PHONE, 0.0)
    remembered.put("unknown", None, 0.0)

    remembered.clear()

    assert len(remembered) == 0
