"""SwiftPhoenixClient, version by version: what it sends, and what it does with answers."""
