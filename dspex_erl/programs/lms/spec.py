"""What a caller says of a language model, checked, with its key out of sight.

A key given by value is in a :class:`Secret`, which no ``repr``, pickle or snapshot shows. A key named by its environment variable is read when the
model is built, so that a snapshot of it is enough to build it anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import urlsplit

from dspex_erl.errors import BadRequest
from dspex_erl.programs.config import CONFIG, check_config

__all__ = ["EMBEDDED", "LMSpec", "Secret", "parse_lm"]

EMBEDDED = ("echo", "scripted", "local")
"""The models that need no server."""

MAX_ANSWERS = 100_000
MAX_TEXT = 4096

_OPTIONS = ("model", "api_base", "api_key", "api_key_env", "timeout_s", "num_retries", "cache", "answers", "stop", *CONFIG)


class Secret:
    """A text that is used and never shown."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one who sends it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")


@dataclass(frozen=True)
class LMSpec:
    """A checked description of a language model. ``config`` is what is asked of it unless a program or a call asks for more."""

    model: str
    api_base: str | None = None
    api_key: Secret | None = None
    api_key_env: str | None = None
    timeout_s: float = 600.0
    num_retries: int = 3
    cache: bool = True
    config: dict[str, Any] = field(default_factory=dict)
    answers: tuple[Any, ...] = ()

    @property
    def lacks_key(self) -> bool:
        """Whether the model needs a key and none is given, as after a snapshot of one whose key was given by value."""
        return self.model not in EMBEDDED and self.api_key is None and self.api_key_env is None

    def to_plain(self) -> dict[str, Any]:
        """The description as plain terms, without the key."""
        plain: dict[str, Any] = {
            "model": self.model,
            "timeout_s": self.timeout_s,
            "num_retries": self.num_retries,
            "cache": self.cache,
        }
        plain.update(self.config)
        for name in ("api_base", "api_key_env"):
            if getattr(self, name) is not None:
                plain[name] = getattr(self, name)
        if self.model == "scripted":
            plain["answers"] = list(self.answers)
        return plain


def parse_lm(given: Any) -> LMSpec:
    """The model that a plain term describes: its name, or a map with ``model`` and more. Raises :class:`BadRequest`.

    >>> parse_lm({"model": "openai/gpt-4o-mini", "api_key": "sk-123", "temperature": 0}).config
    {'temperature': 0}
    """
    if isinstance(given, str):
        given = {"model": given}
    if not isinstance(given, dict):
        raise BadRequest(f"expected a model's name or a map, got {type(given).__name__}, at lm")
    for name in given:
        if name not in _OPTIONS:
            raise BadRequest(f"expected the keys {', '.join(_OPTIONS)}, got {str(name)[:64]!r}, at lm")
    model = _text(given, "model")
    if not model:
        raise BadRequest("expected the name of a model, such as openai/gpt-4o-mini, got none, at lm.model")
    if model not in EMBEDDED and ("/" not in model or model.endswith("/")):
        raise BadRequest(f"expected a model as provider/name, or {', '.join(EMBEDDED)}, got {model[:64]!r}, at lm.model")
    key = _text(given, "api_key")
    variable = _text(given, "api_key_env")
    if key and variable:
        raise BadRequest("expected api_key or api_key_env, got both, at lm")
    if key and not key.isascii():
        raise BadRequest("expected a key of ASCII characters, got others, at lm.api_key")
    # A model that is scripted to fail is meant to be seen failing.
    retries = 0 if model == "scripted" else 3
    return LMSpec(
        model,
        _base(given),
        Secret(key) if key else None,
        variable or None,
        _number(given, "timeout_s", 600.0, 0.001, 86_400.0),
        int(_number(given, "num_retries", retries, 0, 100, whole=True)),
        _cache(given),
        check_config({name: given[name] for name in (*CONFIG, "stop") if given.get(name) is not None}, "lm"),
        _answers(given, model),
    )


def _text(given: dict[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is None:
        return None
    # Not a word of the value: it may be a key.
    if not isinstance(value, str) or len(value) > MAX_TEXT or not value.isprintable():
        raise BadRequest(f"expected a text of at most {MAX_TEXT} printable characters, got something else, at lm.{name}")
    return value


def _base(given: dict[str, Any]) -> str | None:
    base = _text(given, "api_base")
    if not base:
        return None
    try:
        parts = urlsplit(base)
        # Reading the port is what checks it.
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and " " not in base
    except ValueError:
        usable = False
    if not usable:
        raise BadRequest("expected a URL such as http://host:8000/v1, got another text, at lm.api_base")
    if parts.username is not None or parts.query or parts.fragment:
        # A base is shown and exported, a key is not.
        raise BadRequest(
            "expected a URL without user, query and fragment (a key belongs into api_key), got one with, at lm.api_base"
        )
    return base.rstrip("/")


def _number(
    given: dict[str, Any], name: str, default: float, least: float, most: float, whole: bool = False, where: str = "lm"
) -> float:
    value = given.get(name)
    if value is None:
        return default
    if not isinstance(value, int if whole else (int, float)) or isinstance(value, bool) or not least <= value <= most:
        raise BadRequest(f"expected a number from {least:g} to {most:g}, got {type(value).__name__}, at {where}.{name}")
    return value


def _cache(given: dict[str, Any]) -> bool:
    value = given.get("cache")
    if value not in (None, True, False) or isinstance(value, int) and not isinstance(value, bool):
        raise BadRequest(f"expected true or false, got {type(value).__name__}, at lm.cache")
    return value is not False


def _answers(given: dict[str, Any], model: str) -> tuple[Any, ...]:
    answers = given.get("answers")
    if model != "scripted":
        if answers is not None:
            raise BadRequest(f"expected answers for the model scripted only, got some for {model[:64]!r}, at lm.answers")
        return ()
    if not isinstance(answers, list) or len(answers) > MAX_ANSWERS:
        raise BadRequest(f"expected a list of at most {MAX_ANSWERS} answers, got {type(answers).__name__}, at lm.answers")
    for index, answer in enumerate(answers):
        _check_answer(answer, f"lm.answers[{index}]")
    return tuple(answers)


def _check_answer(answer: Any, where: str) -> None:
    if not isinstance(answer, (str, dict)) or isinstance(answer, dict) and not all(isinstance(name, str) for name in answer):
        raise BadRequest(f"expected a text or a map from fields to values, got {type(answer).__name__}, at {where}")
    for name in ("delay_ms", "retry_after_ms"):
        if name in answer and isinstance(answer, dict):
            _number({name: answer[name]}, name, 0, 0, 86_400_000, where=where)
