"""What works with which extras installed."""
