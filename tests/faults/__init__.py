"""Kills the server at every step of a task and checks that it keeps its promises.

`kills` is the command, `test_kills` a short run of it. Start with `kills`.
"""
