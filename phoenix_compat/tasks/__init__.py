"""The task engine: tasks, where they are kept, and the worker that runs them at a provider.

It knows nothing of channels or HTTP. Start with `model/task`, then `worker/worker`.
"""
