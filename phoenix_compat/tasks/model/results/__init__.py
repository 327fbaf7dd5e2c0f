"""How a task ends: its output, its outcome, and what failed."""
