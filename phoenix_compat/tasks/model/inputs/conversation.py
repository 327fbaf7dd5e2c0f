"""Writes what was said before into the prompt of a model that answers one text. No I/O.

Models have different inputs for a conversation, or none. All of them understand it as a text.
"""

from __future__ import annotations

from typing import Final

from phoenix_compat.tasks.model.errors import InvalidInputError

MAX_MESSAGES: Final = 64
MAX_CONVERSATION_CHARS: Final = 20_000
"""The limit for the contents of all messages together."""

_FIELD: Final = "input_data.messages"
_NAMES: Final = {"user": "User", "assistant": "Assistant"}


def with_conversation(prompt: str, messages: object) -> str:
    """The prompt after the messages before it; the prompt alone if there are none.

    Args:
        messages: a list of {"role": "user" or "assistant", "content": "…"}, the oldest first.

    Raises:
        InvalidInputError: it names the message and what is wrong with it.
    """
    if messages in (None, "", []):
        return prompt
    if not isinstance(messages, list) or len(messages) > MAX_MESSAGES:
        raise InvalidInputError(_FIELD, f"must be a list of at most {MAX_MESSAGES} messages")
    said = [_line(number, message) for number, message in enumerate(messages)]
    if sum(map(len, said)) > MAX_CONVERSATION_CHARS:
        reason = f"must have at most {MAX_CONVERSATION_CHARS} characters together"
        raise InvalidInputError(_FIELD, f"{reason}; leave the oldest messages out")
    return "\n\n".join((*said, f"User: {prompt}", "Assistant:"))


def _line(number: int, message: object) -> str:
    field = f"{_FIELD}.{number}"
    if not isinstance(message, dict):
        raise InvalidInputError(field, 'must be an object like {"role": "user", "content": "…"}')
    name = _NAMES.get(str(message.get("role")))
    if name is None:
        raise InvalidInputError(f"{field}.role", 'must be "user" or "assistant"')
    content = message.get("content")
    if not isinstance(content, str) or not content.strip():
        raise InvalidInputError(f"{field}.content", "must be a text that is not empty")
    return f"{name}: {content.strip()}"
