"""Tests of the parts that equal nodes have; see phoenix_compat.server.nodes."""
