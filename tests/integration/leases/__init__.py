"""Several nodes share the tasks of one store."""
