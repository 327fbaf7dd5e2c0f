"""An endpoint in applications: its sessions, its lifetime, and mistakes in using it."""
