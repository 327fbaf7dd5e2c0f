"""Request ids, the access log, and the metrics over HTTP."""
