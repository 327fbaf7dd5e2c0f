"""Tests of the rules, with records that are written by hand."""
