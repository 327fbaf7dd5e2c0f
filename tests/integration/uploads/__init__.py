"""Files that clients send as inputs of tasks."""
