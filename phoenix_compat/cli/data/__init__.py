"""The commands that work on stored data: backup, restore, export, import, prune, upgrade."""
