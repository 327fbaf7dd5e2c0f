"""The faults that the emulator can be told to make. Start with `fault_table`."""
