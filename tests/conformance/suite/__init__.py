"""Tests of the conformance suite itself: the runner, its client, its reports and its command."""
