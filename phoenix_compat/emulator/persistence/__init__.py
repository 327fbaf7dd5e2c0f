"""Keeps the emulator's predictions over a restart.

Nothing here knows HTTP. Start with `persistence`.
"""
