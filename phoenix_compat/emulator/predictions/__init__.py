"""Models and predictions of the emulator as values and rules, without I/O.

Start with `prediction`.
"""
