"""How several nodes share a store: each takes tasks for a limited time, which it renews.

`lease_store` has everything that is stored for it, `role_lease` is for jobs of one node.
"""
