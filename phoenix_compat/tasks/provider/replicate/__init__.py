"""Replicate as the provider. Start with `replicate`; `client` and `sdk` send its requests."""
