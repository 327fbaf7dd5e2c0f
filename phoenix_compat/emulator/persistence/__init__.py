"""How the emulator remembers its predictions over a restart. Start with `persistence`."""
