"""How fast clients may act: the address of a client, and token buckets per address and owner.

Start with `rate_limiter`. Who a client is, and may do, is in `auth`; how many connections there may
be is in `accept`.
"""
