"""Fixtures of the tests of the suite."""

from __future__ import annotations

import pytest

from tests.conformance.suite.fake_machine import FakeMachine


@pytest.fixture
def machine() -> FakeMachine:
    """A machine that is not busy."""
    return FakeMachine()
