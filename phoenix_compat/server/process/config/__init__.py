"""Where settings come from, and how they change: the file, old names, workers' copies, reload."""
