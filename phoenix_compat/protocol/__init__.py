"""The Phoenix wire protocol without I/O: functions and classes from values to values.

Nothing here uses asyncio, a clock, sockets or the environment; times and random bytes are
arguments. So everything can be tested with plain values. Start with `message` and `serializer`.
"""
