"""URLs, the outbox and the transports."""
