"""Authentication: credentials, verifiers and rules, without a network."""
