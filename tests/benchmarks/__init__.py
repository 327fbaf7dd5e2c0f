"""Measures the speed of the server as ratios to a baseline: `python -m tests.benchmarks`.

benchmark     what a benchmark is: a name, two sides, a target
context       what a benchmark needs to run: programs, a folder, quick or thorough
machine       facts about the machine, its cores and limits
tools         the C programs, compiled from source
servers, apps the servers under test and the servers to compare with, each pinned to its core
suite         runs the benchmarks in random order
report        JSON lines, medians, the table
loads/        load generators and HTTP clients
cases/        the benchmarks, one module per family; `families` lists them
"""
