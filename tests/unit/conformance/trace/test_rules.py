"""Every rule has a recording that breaks it, and breaks nothing else."""

from __future__ import annotations

import pytest

from phoenix_compat.conformance.trace.checker import check_trace
from phoenix_compat.conformance.trace.recording.frames import Side
from phoenix_compat.conformance.trace.rules.rule import Rule
from phoenix_compat.conformance.trace.rules.rulebook import RULES
from tests.unit.conformance.trace.bad_recordings import ALSO_BROKEN, BAD_RECORDINGS
from tests.unit.conformance.trace.builders import parse_recording


def test_every_rule_has_a_row() -> None:
    """A rule without a recording that breaks it is no rule."""
    assert set(BAD_RECORDINGS) == set(RULES)


@pytest.mark.parametrize("rule_id", RULES)
def test_the_rule_is_told_with_the_frame_to_blame(rule_id: str) -> None:
    """The recording breaks this rule, in the frame that is marked, and no other but its company."""
    recording = parse_recording(BAD_RECORDINGS[rule_id])

    found = check_trace(recording.entries)

    assert {violation.rule.id for violation in found} == {rule_id, *ALSO_BROKEN.get(rule_id, ())}
    assert sorted({violation.entry.number for violation in found}) == recording.blamed


@pytest.mark.parametrize("rule_id", RULES)
def test_the_recording_up_to_the_frame_to_blame_breaks_nothing(rule_id: str) -> None:
    """Without its bad frame and what follows, nothing is told: the rule is not told too early."""
    recording = parse_recording(BAD_RECORDINGS[rule_id])
    before = recording.entries[: recording.blamed[0] - 1]

    found = {violation.rule.id for violation in check_trace(before)}

    assert found == set()


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_every_rule_explains_itself(rule: Rule) -> None:
    """A rule names its source and says what is wrong; its id says whom it concerns."""
    assert rule.source
    assert rule.why
    assert not rule.why.endswith(".")
    assert (rule.who is Side.CLIENT) == rule.id.startswith("client/")
