"""Who a client is and what it may do, without HTTP or channels. Start with `principal`."""
