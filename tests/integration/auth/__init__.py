"""Authentication over the wire: HTTP, websocket, long-polling and joins."""
