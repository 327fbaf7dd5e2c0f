"""The page and the files for several machines."""
