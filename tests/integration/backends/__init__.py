"""What other backends use."""
