"""The task store: `TaskStore`, its reading part, the conversion of rows, export and import.

Start with `task_store`. `database` is the seam to the engines, `sqlite/` and `postgres/`, and
`opening` opens a store on an engine.
"""
