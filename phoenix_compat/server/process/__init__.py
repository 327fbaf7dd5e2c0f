"""The server as a process: settings, reload, listening, logs, systemd, maintenance.

Start with `settings`.
"""
