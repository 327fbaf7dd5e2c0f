"""Every rule has a recording that breaks it and no other rule."""

from __future__ import annotations

import pytest

from phoenix_compat.conformance.trace.checker import check_trace
from phoenix_compat.conformance.trace.recording.frames import Side
from phoenix_compat.conformance.trace.rules.rule import Rule
from phoenix_compat.conformance.trace.rules.rulebook import RULES
from tests.unit.conformance.trace.bad_recordings import ALSO_BROKEN, BAD_RECORDINGS
from tests.unit.conformance.trace.builders import parse_recording


def test_every_rule_has_a_recording() -> None:
    """There is a bad recording for each rule, and no other."""
    assert set(BAD_RECORDINGS) == set(RULES)


@pytest.mark.parametrize("rule_id", RULES)
def test_the_rule_is_reported_with_its_frame(rule_id: str) -> None:
    """The recording breaks this rule in the marked frame, and no rule beyond ALSO_BROKEN."""
    recording = parse_recording(BAD_RECORDINGS[rule_id])

    found = check_trace(recording.entries)

    assert {violation.rule.id for violation in found} == {rule_id, *ALSO_BROKEN.get(rule_id, ())}
    assert sorted({violation.entry.number for violation in found}) == recording.violating


@pytest.mark.parametrize("rule_id", RULES)
def test_the_recording_before_the_frame_breaks_nothing(rule_id: str) -> None:
    """Nothing is reported before the marked frame."""
    recording = parse_recording(BAD_RECORDINGS[rule_id])
    before = recording.entries[: recording.violating[0] - 1]

    found = {violation.rule.id for violation in check_trace(before)}

    assert found == set()


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_every_rule_explains_itself(rule: Rule) -> None:
    """A rule has a source and says what is wrong; its id says if it is about clients."""
    assert rule.source
    assert rule.why
    assert not rule.why.endswith(".")
    assert (rule.who is Side.CLIENT) == rule.id.startswith("client/")
