"""How fast the server is, as ratios to what the machine allows: `python -m tests.benchmarks`.

work        what a measurement is: a name, two sides, a target
rig         what a measurement has at hand: tools, folders, quick or thorough
machine     the machine's facts, its cores, its limits
tools       the C programs, compiled
servers     the servers under test and the rulers, each pinned to its core
suite       the order of the runs
report      JSON lines, medians, the table
sockets …   one module for each family of works, listed in `families`
"""
