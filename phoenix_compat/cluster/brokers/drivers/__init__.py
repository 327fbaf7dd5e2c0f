"""The brokers: Redis, NATS and PostgreSQL, each with its Bus. Start with one of them.

Their drivers are imported when a bus is opened. `send_queue` and `working` are for all of them.
"""
