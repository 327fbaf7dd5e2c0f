"""Breaks what several nodes stand on, and checks that their tasks are neither lost nor paid twice.

`__main__` is the command, `test_nodes` has short runs of it. Start with `faults`, which has the
faults, and `outcome`, which says what must hold.
"""
