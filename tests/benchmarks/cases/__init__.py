"""The benchmarks, one module per family. `families` lists those of `python -m tests.benchmarks`.

`storms`, `workers` and `shipping` are commands of their own.
"""
