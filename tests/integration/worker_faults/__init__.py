"""The worker while the provider fails, limits its creates, or breaks predictions.

`test_fault_table` lists every fault of the emulator with its expected outcome.
"""
