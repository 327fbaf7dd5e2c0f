"""Results of callbacks, and graceful reasons."""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat import Reason, Result, Stop, error, ok, reply, stop
from phoenix_compat.result import DONE, is_graceful


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (ok(), Result("ok", {})),
        (ok({"a": 1}), Result("ok", {"a": 1})),
        (ok(a=1, b=2), Result("ok", {"a": 1, "b": 2})),
        (ok([1]), Result("ok", [1])),
        (ok(None), Result("ok", None)),
        (ok(b"\x00"), Result("ok", b"\x00")),
        (ok(payload=1), Result("ok", {"payload": 1})),
        (error(), Result("error", {})),
        (error(reason="no"), Result("error", {"reason": "no"})),
        (error("no"), Result("error", "no")),
        (reply("weird"), Result("weird", {})),
        (reply("weird", 5), Result("weird", 5)),
        (reply("weird", a=1), Result("weird", {"a": 1})),
    ],
)
def test_a_result(result: Result, expected: Result) -> None:
    """A result is a status and a payload: any value, or a dict of the fields, or `{}`."""
    assert expected == result


def test_empty_results_share_nothing() -> None:
    """Modifying the payload of one empty result does not change another."""
    one, two = ok(), ok()

    one.payload["a"] = 1

    assert two.payload == {}


@pytest.mark.parametrize(
    ("stopped", "expected"),
    [
        (stop(), Stop("normal", None)),
        (stop("shutdown", ok(a=1)), Stop("shutdown", Result("ok", {"a": 1}))),
        (stop(("shutdown", "bye")), Stop(("shutdown", "bye"), None)),
    ],
)
def test_a_stop(stopped: Stop, expected: Stop) -> None:
    """A stop has a reason, "normal" by default, and an optional last reply."""
    assert expected == stopped


@pytest.mark.parametrize("value", [ok(), stop()], ids=["result", "stop"])
def test_results_are_values(value: Any) -> None:
    """Results are immutable."""
    with pytest.raises(AttributeError, match="immutable"):
        value.status = "other"


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("normal", True),
        ("shutdown", True),
        (("shutdown", "left"), True),
        (("shutdown", None), True),
        ("other", False),
        ("", False),
        (("normal", 1), False),
        (("other", "shutdown"), False),
        (RuntimeError("shutdown"), False),
    ],
)
def test_a_graceful_reason(reason: Reason, expected: bool) -> None:
    """normal, shutdown and ("shutdown", detail) end with phx_close, all others do not."""
    assert is_graceful(reason) is expected


def test_what_is_done_can_be_awaited() -> None:
    """The results of push and broadcast can be awaited, and never wait."""

    async def await_it() -> Any:
        return await DONE

    coroutine = await_it()
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)

    assert ended.value.value is None


async def test_what_is_done_can_be_awaited_again() -> None:
    """All calls share one value, so it can be awaited repeatedly."""
    for _ in range(3):
        await DONE
