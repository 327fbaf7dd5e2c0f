"""Tests that compare this server with Phoenix: vectors, a matrix of transports, and mutants.

`checklist.md` says which test covers which assertion of Phoenix's own tests.
"""
