"""Tests of the pictures that clients send."""
