"""Commands that a running server takes from its own machine, over a Unix socket in its data folder.

`control_socket` is the server's end, `client` that of the commands. `messages` has what both send.
`key_commands` are the commands about API keys, `access_commands` gives access to the HTTP API.
"""
