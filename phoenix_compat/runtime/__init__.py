"""The engine room: sockets and channels at work. asyncio, no aiohttp.

Phoenix gives every connection and every channel a process. Here they are small objects that run in
place while they can: a connection is handed frames by its transport, and a channel's callback is
stepped at once and becomes a task only when it really waits. What Phoenix's processes guarantee
still holds:

- a join blocks its own connection until it is answered, and nothing else;
- callbacks of one channel run one after another, those of different channels side by side;
- what goes to one client arrives in the order in which it was produced.
"""
