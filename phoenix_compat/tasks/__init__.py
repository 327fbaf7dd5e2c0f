"""The task engine: tasks, their store, and the worker that runs them at a provider.

Channels and the HTTP API are not here; they are in `server`. Start with `model/task`, then
`worker/worker`.
"""
