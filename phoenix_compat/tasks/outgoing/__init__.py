"""Sends events of tasks to the operator's webhooks, signed as Standard Webhooks.

`store/outbox` keeps the events. Start with `dispatcher`; `sender` makes one attempt, and `backoff`
says when the next one is. Webhooks of the provider, which come in, are in `provider/webhooks`.
"""
