"""The command line itself: its help, its version, and the completion of shells."""
