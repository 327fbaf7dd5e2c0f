"""Clients that write another version of messages than their `vsn` names."""

from __future__ import annotations

import logging

import pytest

from phoenix_compat.errors import InvalidMessageError, RemoteProtocolError, WrongVersionError
from phoenix_compat.protocol.serializer import V1JSONSerializer, V2JSONSerializer
from phoenix_compat.runtime.limits import Counters
from phoenix_compat.runtime.reporting.limited_log import PAUSE_S
from phoenix_compat.runtime.reporting.wrong_versions import WrongVersions

V1_FRAME = b'{"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "1"}'
V2_FRAME = b'[null, "1", "phoenix", "heartbeat", {}]'


@pytest.mark.parametrize("frame", [V2_FRAME, b" \n" + V2_FRAME, b"[]"])
def test_v1_recognises_v2(frame: bytes) -> None:
    """A10: the error names the remedy."""
    with pytest.raises(WrongVersionError, match=r"sends V2 frames; set vsn to '2\.0\.0'"):
        V1JSONSerializer().decode(frame, is_binary=False)


def test_v2_recognises_v1() -> None:
    """A10: the same the other way round."""
    with pytest.raises(WrongVersionError, match=r"sends V1 frames; set vsn to '1\.0\.0'"):
        V2JSONSerializer().decode(V1_FRAME, is_binary=False)


@pytest.mark.parametrize("frame", [b"1", b'"a"', b"x[]", b""])
def test_other_mistakes_stay_what_they_are(frame: bytes) -> None:
    """A10: JSON that no version sends, and what is not JSON."""
    for serializer in (V1JSONSerializer(), V2JSONSerializer()):
        with pytest.raises(RemoteProtocolError) as caught:
            serializer.decode(frame, is_binary=False)
        assert not isinstance(caught.value, WrongVersionError)


def test_one_line_a_minute_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A10: for all such clients together, with the number of those that were left out."""
    now_s = 0.0
    counters = Counters()
    wrong_versions = WrongVersions(counters, lambda: now_s)
    error = WrongVersionError("the remedy")

    with caplog.at_level(logging.WARNING):
        for _reconnect in range(20):
            wrong_versions.note(error)
        wrong_versions.note(InvalidMessageError("another mistake"))
        now_s = PAUSE_S
        wrong_versions.note(error)

    assert [record.getMessage() for record in caplog.records] == [
        "closing a connection: the remedy (0 more since the last such line)",
        "closing a connection: the remedy (19 more since the last such line)",
    ]
    assert counters.wrong_versions == 21
