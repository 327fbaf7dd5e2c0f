"""The work of the operator's commands: backup, restore, upgrade, prune, init, doctor, demo.

Options and output are in `cli`. Start with `doctor` or `data`.
"""
