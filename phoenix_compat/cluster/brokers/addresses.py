"""How nodes are addressed: the number of a node, and the subject of its inbox.

    node       48 random bits; the first 36 are the number of its inbox
    subject    PREFIX.<inbox>, in hexadecimal

Processes that share one connection have inboxes that were chosen before them. So it subscribes all
of these once, and a process that is started again is a new node with the inbox of the one before.
"""

from __future__ import annotations

import secrets
from typing import Final

from phoenix_compat.cluster.brokers.messages import NODE_BYTES

INBOX_BITS: Final = 36
_OTHER_BITS: Final = 8 * NODE_BYTES - INBOX_BITS
_FIRST_BYTE: Final = 2
"""Where the node begins in a message."""


def new_node(inbox: int | None = None) -> int:
    """The number of a new node, with this inbox or a random one."""
    if inbox is None:
        inbox = secrets.randbits(INBOX_BITS)
    return inbox << _OTHER_BITS | secrets.randbits(_OTHER_BITS)


def inbox_of(node: int) -> int:
    """The number of the inbox of a node."""
    return node >> _OTHER_BITS


def inbox_subject(prefix: str, inbox: int) -> str:
    """The subject of an inbox."""
    return f"{prefix}.{inbox:0{INBOX_BITS // 4}x}"


def sender_inbox(data: bytes) -> int:
    """The number of the inbox of the node that has sent a message."""
    return inbox_of(int.from_bytes(data[_FIRST_BYTE : _FIRST_BYTE + NODE_BYTES]))
