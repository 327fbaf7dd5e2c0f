"""Runs sockets and channels on asyncio; does not know aiohttp. Start with `socket_server`.

Phoenix runs every connection and every channel in its own process. Here they are small objects
without a task: a transport calls its socket server with each frame, and a channel's callback runs
immediately and becomes a task only if it has to wait. The guarantees of Phoenix's processes still
hold:

- a join blocks only its own connection until it is answered;
- the callbacks of one channel run one after another, those of different channels concurrently;
- everything for one client arrives in the order in which it was produced.
"""
