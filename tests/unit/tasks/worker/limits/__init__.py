"""The limits of creates."""
