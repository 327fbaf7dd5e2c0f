"""What goes out to clients: in order, joined into few writes, and bounded for slow ones.

    outbox         the frames for one client
    topic_fanout   the clients of one topic that get the same bytes
    wire           how messages become bytes, shared by the clients of one transport and serializer
    tick           ends the turn in which frames are collected

It knows no channels. Start with `outbox`.
"""
