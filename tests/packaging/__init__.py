"""What is shipped, run where nothing else is: `make test-packaging`."""
