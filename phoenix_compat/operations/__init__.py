"""What an operator does with a server's data: back it up, restore, move, prune, examine it."""
