"""The task server as equal nodes on one database."""
