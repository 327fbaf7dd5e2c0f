"""JSON Web Tokens: their verification, and the public keys from files and URLs."""
