"""The rules that a conversation is checked against. Start with `rulebook`."""
