"""Attacks on a running server, with raw sockets: `make attack`, or `python -m tests.attack`.

Each attack is a function that says what it saw and whether the bound held. To add one, decorate it
with `@attack` in the module of its subject, and import a new module in `__main__`.

    registry      what an attack is, and the list of them
    target        the server that is attacked, and what others see of it meanwhile
    slow          clients that take their time, to send or to read
    requests      malformed, ambiguous and very many requests
    browsers      what web pages can send
    credentials   the tasks of others, and guesses at credentials
    messages      deep, long and broken messages, tokens and log lines
    descriptors   more clients than descriptors or places

The quick ones are also tests: see `tests/integration/hardening/test_attacks.py`.
"""
