"""`task`: what clients and operators do with tasks, from the command line; start with `group`."""
