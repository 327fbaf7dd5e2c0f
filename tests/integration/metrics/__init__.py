"""What the server measures about itself, over HTTP."""
