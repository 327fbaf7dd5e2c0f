"""How fast creates are sent: `create_limiter` decides, `create_reports` tells it how they ended."""
