"""The tests of the matrix over ASGI, under each server: see conftest.py."""

# ruff: noqa: F403 - all of them, and none is forgotten

from tests.conformance.test_matrix import *
from tests.conformance.test_matrix_endings import *
