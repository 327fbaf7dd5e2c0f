"""Which tasks a worker runs: `runs` has those that it runs, and `claims` takes further ones.

`own_claims` is for a store that one process has to itself, `leased_claims` for one that several
nodes share. Start with `claims`.
"""
