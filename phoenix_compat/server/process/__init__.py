"""The server as a process: settings, reload, listening, logs, systemd, maintenance.

Nothing here knows channels or HTTP routes. Start with `settings`.
"""
