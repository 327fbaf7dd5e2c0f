"""The differential fuzzer, against this server and against mutants of it."""
