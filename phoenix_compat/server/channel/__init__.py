"""The channel `task:<id>`, and the feed of task changes behind it. Start with `task_channel`."""
