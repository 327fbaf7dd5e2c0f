"""The public functions, macros and callbacks of Phoenix's modules, with their arities.

Source: phoenix 1.8.12, lib/phoenix/channel.ex, socket.ex, endpoint.ex, presence.ex, token.ex and
test/channel_test.ex; phoenix_pubsub 2.2.0, lib/phoenix/pubsub.ex. Left out is what has
`@doc false`. A function with default values has its greatest arity, unless its head is documented
for each.
"""

from __future__ import annotations

FUNCTIONS = {
    "Phoenix.Channel": """
        join/3 handle_in/3 handle_out/3 handle_info/2 handle_call/3 handle_cast/2 code_change/3
        terminate/2 intercept/1 push/3 broadcast/3 broadcast!/3 broadcast_from/3 broadcast_from!/3
        reply/2 socket_ref/1
    """,
    "Phoenix.Socket": "connect/2 connect/3 id/1 assign/2 assign/3 channel/3",
    "Phoenix.Endpoint": """
        socket/3 subscribe/2 unsubscribe/1 broadcast/3 broadcast!/3 broadcast_from/4
        broadcast_from!/4 local_broadcast/3 local_broadcast_from/4 start_link/1 config/2
        config_change/2 host/0 url/0 struct_url/0 path/1 script_name/0 static_url/0 static_path/1
        static_integrity/1 static_lookup/1 server_info/1 server?/2
    """,
    "Phoenix.Presence": """
        track/3 track/4 untrack/2 untrack/3 update/3 update/4 list/1 get_by_key/2 fetch/2 init/1
        handle_metas/4 fetchers_pids/0 child_spec/1
    """,
    "Phoenix.PubSub": """
        child_spec/1 subscribe/3 unsubscribe/2 broadcast/4 broadcast!/4 broadcast_from/5
        broadcast_from!/5 local_broadcast/4 local_broadcast_from/5 direct_broadcast/5
        direct_broadcast!/5 node_name/1
    """,
    "Phoenix.Token": "sign/4 verify/4 encrypt/4 decrypt/4",
    "Phoenix.ChannelTest": """
        connect/3 socket/1 socket/4 join/2 join/3 join/4 subscribe_and_join/2 subscribe_and_join/3
        subscribe_and_join/4 subscribe_and_join!/2 subscribe_and_join!/3 subscribe_and_join!/4
        push/3 leave/1 close/2 broadcast_from/3 broadcast_from!/3 assert_push/3 refute_push/3
        assert_reply/4 refute_reply/4 assert_broadcast/3 refute_broadcast/3
    """,
}
