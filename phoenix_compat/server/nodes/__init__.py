"""What the task server needs as one of several equal nodes, on a store that all of them write.

Nothing is forwarded and nobody leads: each node answers for itself, from the store. What the nodes
tell each other over the bus are hints, which may be lost. Start with `node`.
"""
