"""The store's engine on PostgreSQL, which several servers can share. Needs the extra `postgres`.

Start with `database`. The statements are those of `store/statements`; `dialect` has PostgreSQL's
texts for those that are not written alike.
"""
