"""The server as a process: settings and their sources, listening, logs, systemd, maintenance.

Nothing here knows channels or HTTP routes. Start with `settings`.
"""
