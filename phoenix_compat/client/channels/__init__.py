"""The client's channels: joins, pushes, received messages and presence. Start with channel."""
