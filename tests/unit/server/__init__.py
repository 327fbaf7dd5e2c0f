"""The wiring: settings and where they come from."""
