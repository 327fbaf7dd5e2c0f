"""The emulator's HTTP side: thin aiohttp handlers over the pure modules one folder up."""
