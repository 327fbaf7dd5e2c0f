"""Opens many connections, sends numbered messages at a steady rate, and says whether all came.

    histogram.py   durations in buckets, in little memory
    sequence.py    numbered messages: which are missing, out of order or duplicated
    plan.py        what is asked for: connections, rate, time
    generator.py   whether this program kept its own schedule
    client.py      one connection: joins, sends on schedule, checks what it receives
    run.py         all of them, and what they found
    report.py      the result as text and as JSON

The server hosts the reference channel set (docs/conformance.md). Start with `run`; the command is
`phoenix-compat conformance load`.
"""
