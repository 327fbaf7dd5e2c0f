"""The fault server: misbehaves on demand towards a Phoenix client, records it, and judges it.

    plan      what a fault is; read from a topic (`fault:close:1001:after=2s`) or from JSON
    table     every fault by name
    record    what a client did and what was done to it, with times
    lane      one client's fault sessions: its record, its armed faults, its connections
    channels  how a topic behaves under its fault
    link      one websocket, and how frames go out of it: whole, in fragments, byte by byte
    server    the routes under /faults
    control   the routes under /control: arm faults, fetch records and verdicts
    scenarios what an author's client is put through, and which rule judges it
    story     a record as rules ask it
    …_rules   the rules
    report    the verdicts for people and machines

See README.md beside this file.
"""
