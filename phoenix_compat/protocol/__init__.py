"""The vault: the wire as values in, values out. No asyncio, no clock, no environment.

Nothing here waits, reads or writes; everything is told what it needs and can be tested with plain
values. The rooms outside do the I/O.
"""
