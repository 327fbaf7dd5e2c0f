"""Load generators and clients of the benchmarks. They measure nothing by themselves.

Start with `load`.
"""
