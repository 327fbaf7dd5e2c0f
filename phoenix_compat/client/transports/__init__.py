"""The client's transports, and the outbox that sends over the one in use; start with connection."""
