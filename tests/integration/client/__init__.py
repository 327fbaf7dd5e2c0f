"""The client against servers: the fault server, and this package's own."""
