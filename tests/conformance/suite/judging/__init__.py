"""Tests of the warm-up, the pulse, the replays and the doubts."""
