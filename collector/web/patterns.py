"""Patterns that parameters are held to, and what to tell people where one does not match."""

from __future__ import annotations

from typing import Final

KEY: Final = r"^([1-9][0-9]{0,15}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$"
"""A seq or an id in a path."""
LABEL: Final = r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$"
"""What a key may be called."""
LAST_EVENT_ID: Final = r"^[0-9]{1,15}$"

_WORDS: Final = {
    KEY: "expected a seq, or the id of an entry",
    LABEL: "expected 1 to 64 letters, digits and . _ @ -, of which a letter or digit comes first",
    LAST_EVENT_ID: "expected a seq",
}


def in_words(message: str) -> str:
    """The message of a failed check without regular expressions."""
    for pattern, words in _WORDS.items():
        message = message.replace(f"Expected `str` matching regex '{pattern}'", words)
    return message
