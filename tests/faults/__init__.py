"""The server killed at every step of a task's life, and what is left of its promises."""
