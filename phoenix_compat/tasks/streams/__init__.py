"""Outputs as they come: a text while it is written, and pictures that are ready before the others.

`server_sent_events` parses the provider's stream, `written_text` is the text so far, and
`text_follower` follows the stream of one prediction. What clients get of it is in
`server/channel/outputs`.
"""
