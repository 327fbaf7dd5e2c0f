"""The faults that the emulator can inject, and when each applies. Start with `fault_table`.

Nothing here does I/O: the modules of `web` carry the faults out.
"""
