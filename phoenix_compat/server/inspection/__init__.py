"""What operators see of a running server, and change in it: sockets, topics, logs, limits.

Everything is read when somebody asks; nothing here is on the way of a message. `processes` asks all
processes of the server, of which each answers for itself. The console and the commands show it.
Start with `sockets`.
"""
