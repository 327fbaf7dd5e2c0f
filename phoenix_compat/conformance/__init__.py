"""Tests servers and clients against Phoenix: vectors, suite, fault server and trace checker.

`vectors/` has the recorded conversations, `suite/` plays them against a server, `faults/` tests
clients, `trace/` checks recordings, `report/` writes the results of the suite. Start with
docs/conformance.md. The commands are in `phoenix_compat.cli.conformance`.
"""
