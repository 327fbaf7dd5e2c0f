"""The wiring: the one place that knows everyone."""
