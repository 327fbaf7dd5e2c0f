"""What pages in browsers may do: CORS, Host and Origin, and the headers of responses."""
