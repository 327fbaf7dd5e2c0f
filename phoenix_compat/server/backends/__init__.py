"""What other backends, and clients without websockets, use beside the task API.

Start with `publish`, which sends the events of other backends to Phoenix clients.
"""
