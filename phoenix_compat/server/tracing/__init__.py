"""Sends the steps of tasks to OpenTelemetry, if the standard environment variables ask for it.

Start with `setup`. Only `otel` imports OpenTelemetry, and only if it is used.
"""
