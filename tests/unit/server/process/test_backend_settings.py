"""The patterns of topics in the settings."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest

from phoenix_compat.server.process.settings import Settings


def reason(**fields: Any) -> str:
    """Why these settings are refused."""
    with pytest.raises(pydantic.ValidationError) as refused:
        Settings(**fields)
    return str(refused.value.errors()[0]["msg"]).removeprefix("Value error, ")


def test_patterns_are_accepted() -> None:
    """Topics, prefixes, everything, and the owner's own."""
    patterns = ("room:lobby", "room:*", "*")

    settings = Settings(publish_topics=patterns, listen_topics=(*patterns, "inbox:{owner}"))

    assert settings.publish_topics == patterns


@pytest.mark.parametrize("name", ["publish_topics", "listen_topics"])
def test_a_pattern_that_cannot_work_is_refused(name: str) -> None:
    """The reason says what to write, or why this topic cannot be had."""
    assert "end with its only *" in reason(**{name: ("room:*:x",)})
    assert "a topic of this server" in reason(**{name: ("task:*",)})
    assert "a topic of this server" in reason(**{name: ("phoenix",)})
    assert "longer than 255 bytes" in reason(**{name: ("x" * 256,)})


def test_an_owner_stands_at_the_end() -> None:
    """Elsewhere it could be part of another owner's name."""
    expected = "may have {owner} once, at its end, as in inbox:{owner}"
    assert expected in reason(listen_topics=("inbox:{owner}:*",))
    assert expected in reason(listen_topics=("inbox:{user}",))
    assert "must begin with a name" in reason(listen_topics=("{owner}",))


def test_a_module_is_named_with_what_is_in_it() -> None:
    """The part after the colon is needed, and neither is a path."""
    expected = 'must name a module and what is in it, as "my_app.channels:UserSocket"'
    for name in ("my_app.channels", "my_app/channels.py:UserSocket", "my_app:", ":UserSocket"):
        assert reason(channels_module=name) == expected
    assert Settings(channels_module="my_app.channels:UserSocket").channels_path == "/channels"
