"""Several processes of gunicorn, uvicorn or forks, as one server."""
