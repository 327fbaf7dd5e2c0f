"""The rules that judge a client by its record; none of them knows how the client is configured.

Start with `connection_rules`, which says what a rule is. `channel_rules` are about joins, messages
and presence, `request_rules` about what the app was asked to do at a bad moment.
"""
