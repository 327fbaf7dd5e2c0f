"""Events of the other nodes on a bus, for components that have copies of their state."""

from __future__ import annotations


class NodeListener:
    """Events of other nodes; override the ones you need. The methods must not block."""

    def up(self, node: int) -> None:
        """A node has started or returned; earlier casts of it are unknown."""

    def gap(self, node: int) -> None:
        """Some casts of a node are missing before the next one."""

    def down(self, node: int) -> None:
        """A node has ended and lost its roles."""

    def roles_changed(self, node: int) -> None:
        """A node, possibly this one, has taken or dropped a role."""

    async def caught_up(self) -> None:
        """Return once the copies of the state of all nodes that are up are complete."""
