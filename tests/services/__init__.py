"""Real servers that tests start: databases, brokers, and what stands between them and us."""
