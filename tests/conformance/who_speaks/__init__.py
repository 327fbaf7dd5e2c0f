"""Makes docs/who-speaks-phoenix.md, the table of servers and clients, from recorded reports.

`record` is a report in the small form that docs/reports keeps, `reading` makes one from the report
of a command, `page` and `row_page` write the pages. `python -m tests.conformance.who_speaks` has
the commands; the page itself says how a row is added.
"""
