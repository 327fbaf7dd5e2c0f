"""The routes of the console: one module for each group of paths. `route_list` has them all."""
