"""The options of ``create_session``, checked."""

from __future__ import annotations

from typing import Any

from dspex_erl.errors import BadRequest
from dspex_erl.programs.config import check_config
from dspex_erl.sessions.session import DEFAULT_MAX_PROGRAMS, Settings

__all__ = ["OPTIONS", "parse_settings"]

OPTIONS = ("lm", "adapter", "user_id", "ttl", "max_programs", "limits", "config")
LIMITS = ("wall_clock_ms",)
"""What can be limited for one session of many in a process: how long a run may take."""

_MAX_TTL = 10 * 365 * 86_400
_MAX_PROGRAMS = 1_000_000


def parse_settings(options: Any) -> Settings:
    """The settings that plain ``options`` ask for. Raises :class:`BadRequest`, naming the option.

    >>> parse_settings({"ttl": 60}).ttl
    60
    """
    if options is None or options == []:
        return Settings()
    if not isinstance(options, dict):
        raise BadRequest(f"expected a map of options, got {type(options).__name__}")
    for name in options:
        if name not in OPTIONS:
            raise BadRequest(f"expected an option out of {', '.join(OPTIONS)}, got {str(name)[:64]!r}")
    return Settings(
        lm=_lm(options.get("lm")),
        adapter=_adapter(options.get("adapter")),
        user_id=_user(options.get("user_id")),
        ttl=_number(options, "ttl", None, _MAX_TTL, fractions=True),
        max_programs=_number(options, "max_programs", DEFAULT_MAX_PROGRAMS, _MAX_PROGRAMS),
        limits=_limits(options.get("limits")),
        config=check_config(options.get("config"), "options.config"),
    )


def _lm(given: Any) -> Any:
    if given is None:
        return None
    from dspex_erl.programs.lms.spec import parse_lm

    return parse_lm(given)


def _adapter(given: Any) -> str | None:
    from dspex_erl.programs.adapters import check_adapter

    return None if given is None else check_adapter(given)


def _user(given: Any) -> str | None:
    if given is None or isinstance(given, str) and len(given) <= 1024:
        return given
    if isinstance(given, int) and not isinstance(given, bool) and abs(given) < 2**64:
        return str(given)
    raise BadRequest(f"expected a text of at most 1024 characters, got {type(given).__name__}, at options.user_id")


def _number(options: dict[str, Any], name: str, default: Any, most: int, fractions: bool = False) -> Any:
    value = options.get(name)
    if value is None:
        return default
    kinds = (int, float) if fractions else (int,)
    if not isinstance(value, kinds) or isinstance(value, bool) or not 0 < value <= most:
        got = repr(value) if isinstance(value, (int, float)) and abs(value) < 1e18 else type(value).__name__
        raise BadRequest(f"expected a number above 0 and at most {most}, got {got}, at options.{name}")
    return value


def _limits(given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise BadRequest(f"expected a map of limits, got {type(given).__name__}, at options.limits")
    for name in given:
        if name not in LIMITS:
            raise BadRequest(
                f"expected a limit out of {', '.join(LIMITS)}, got {str(name)[:64]!r}, at options.limits: others need a process for the session alone"
            )
    value = _number(given, "wall_clock_ms", None, 2**31)
    return {} if value is None else {"wall_clock_ms": value}
