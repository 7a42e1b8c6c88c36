"""What a program, a session or a single call may ask of the language model beyond the prompt: temperature and its like."""

from __future__ import annotations

from typing import Any

from dspex_erl.errors import BadRequest

__all__ = ["CONFIG", "check_config"]

# name: (types, least, most)
CONFIG: dict[str, tuple[tuple[type, ...], float, float]] = {
    "temperature": ((int, float), 0, 10),
    "top_p": ((int, float), 0, 1),
    "max_tokens": ((int,), 1, 10_000_000),
    "seed": ((int,), -(2**63), 2**63 - 1),
    "rollout_id": ((int,), 0, 2**63 - 1),
    "frequency_penalty": ((int, float), -2, 2),
    "presence_penalty": ((int, float), -2, 2),
}
"""The settings there are, each with its types and bounds; ``stop``, a text or a list of them, comes on top."""


def check_config(given: Any, where: str) -> dict[str, Any]:
    """``given`` as a map of settings; ``None`` is an empty one. Raises :class:`BadRequest`, naming the place.

    >>> check_config({"temperature": 0.5}, "config")
    {'temperature': 0.5}
    """
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise BadRequest(f"expected a map of settings, got {type(given).__name__}, at {where}")
    for name, value in given.items():
        if name == "stop":
            _check_stop(value, where)
            continue
        if name not in CONFIG:
            raise BadRequest(f"expected a setting out of {', '.join(CONFIG)}, stop, got {str(name)[:64]!r}, at {where}")
        types, least, most = CONFIG[name]
        if (
            not isinstance(value, (int, float))
            or not isinstance(value, types)
            or isinstance(value, bool)
            or not least <= value <= most
        ):
            got = repr(value) if isinstance(value, (int, float)) and abs(value) < 1e18 else type(value).__name__
            kind = "a number" if float in types else "an integer"
            raise BadRequest(f"expected {kind} from {least:g} to {most:g}, got {got}, at {where}.{name}")
    return dict(given)


def _check_stop(value: Any, where: str) -> None:
    texts = [value] if isinstance(value, str) else value
    if (
        not isinstance(texts, list)
        or not 1 <= len(texts) <= 16
        or not all(isinstance(text, str) and 0 < len(text) < 200 for text in texts)
    ):
        raise BadRequest(
            f"expected a text or up to 16 of them, of fewer than 200 characters, got {type(value).__name__}, at {where}.stop"
        )
