"""What the commands share that talk to a running server: their options, and how they print."""
