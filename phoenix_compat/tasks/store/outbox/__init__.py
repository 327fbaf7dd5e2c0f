"""The events that the operator's webhooks do not have yet. `tasks/outgoing` sends them.

`outbox` writes them, in the transactions of the task store; `deliveries` has everything else.
"""
