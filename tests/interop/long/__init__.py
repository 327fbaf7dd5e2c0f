"""Real clients that take minutes or are not installed everywhere: `make test-long`."""
