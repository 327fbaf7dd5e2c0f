"""The fault server: it misbehaves on demand, records what a Phoenix client does, and judges it.

Read README.md beside this file first, then `plan` (what a fault is) and `fault_session` (what one
session of a client holds). `app` says what the app of a client does, `scenarios` lists the tests of
a client, and `rules` judge it.
The `conformance` commands start the server and print its reports; they are not here.
"""
