"""The benchmarks, one module per family. `families` lists those of `python -m tests.benchmarks`.

`workers` and `shipping` are commands of their own.
"""
