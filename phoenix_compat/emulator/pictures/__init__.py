"""The pictures that the emulator draws. Start with `picture`."""
