"""What the emulator knows of models and predictions: values and rules, no I/O.

Start with `prediction`.
"""
