"""Backs up, restores, moves, upgrades and prunes what a server stores. Start with `backup`."""
