"""What is logged about sockets and channels, and counted about clients that are wrong."""
