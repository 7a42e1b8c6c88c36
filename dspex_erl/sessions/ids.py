"""What an id of a session or of a program may be: 1-255 bytes of UTF-8 with no control characters."""

from __future__ import annotations

import unicodedata
from typing import Any

from dspex_erl.errors import BadRequest

__all__ = ["MAX_BYTES", "check_id"]

MAX_BYTES = 255


def check_id(value: Any, what: str) -> str:
    """``value`` as an id. ``what`` (``"session"``, ``"program"``) is for the error's sentence. Raises :class:`BadRequest`.

    >>> check_id("qa", "program")
    'qa'
    """
    if not isinstance(value, str):
        raise BadRequest(f"expected the id of a {what} as a binary or an atom, got {_kind(value)}")
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError:
        raise BadRequest(f"expected the id of a {what} in UTF-8, got one with a surrogate") from None
    if not 1 <= size <= MAX_BYTES:
        raise BadRequest(f"expected the id of a {what} of 1 to {MAX_BYTES} bytes, got {size}")
    # Most ids are printable, which is quick to ask; spaces and the like are legal, and control characters are not.
    if not value.isprintable() and any(unicodedata.category(character) == "Cc" for character in value):
        raise BadRequest(f"expected the id of a {what} without control characters, got one with them")
    return value


def _kind(value: Any) -> str:
    if value is None:
        return "nil"
    return "bytes that are not UTF-8" if isinstance(value, bytes) else type(value).__name__
