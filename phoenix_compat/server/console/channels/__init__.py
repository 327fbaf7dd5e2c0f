"""The channels of the console: one module for each topic. `channel_list` has them all."""
