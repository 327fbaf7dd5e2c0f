"""The provider of predictions: its interface, Replicate, its webhooks, and fallback models.

Start with `provider`, the interface that the worker uses. What is done with a prediction is decided
in `worker`.
"""
