"""What went wrong with a model, in this package's words: one class for each thing that a caller can do about it, and no secret.

The texts of a server are cut and scrubbed, for some servers repeat the key that they refuse, and all repeat what they please.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import dspy

from dspex_erl.errors import (
    ContextWindow,
    DspexError,
    ImportFailed,
    LMAuth,
    LMError,
    LMParse,
    LMRefused,
    LMUnavailable,
    ProgramFailed,
    RateLimited,
)

__all__ = ["as_error", "scrubbed"]

_LENGTH = 200

# What looks like a key, whoever's it is: a server may shorten it to its ends, or put stars in.
_KEYS = re.compile(r"\b(?:sk|pk|rk|key|gsk|xai|AIza)[-_][\w*.…-]{4,}|(?i:bearer|basic|api[-_ ]?key\s*[:=]?)\s+\S+")

_KINDS: tuple[tuple[type[BaseException], type[LMError], str], ...] = (
    (dspy.ContextWindowExceededError, ContextWindow, "expected a prompt that the model can read, got one that is too long"),
    (dspy.LMRateLimitError, RateLimited, "expected the model to answer, got a request to slow down"),
    (dspy.LMAuthError, LMAuth, "expected a key that the model's server accepts, got a refusal"),
    (dspy.LMBillingError, LMAuth, "expected an account that can pay for the model, got a refusal"),
    (dspy.LMNotConfiguredError, LMAuth, "expected a key for the model (api_key or api_key_env), got none"),
    (dspy.LMTimeoutError, LMUnavailable, "expected the model to answer in time, got nothing"),
    (dspy.LMServerError, LMUnavailable, "expected the model to answer, got an error of its server"),
    (dspy.LMTransportError, LMUnavailable, "expected to reach the model's server, got no connection"),
    (dspy.LMUnsupportedModelError, LMRefused, "expected a model that the server has, got another"),
    (dspy.LMUnsupportedFeatureError, LMRefused, "expected what the model can do, got another wish"),
    (dspy.LMInvalidRequestError, LMRefused, "expected a request that the model's server takes, got a refusal"),
    (dspy.LMConfigurationError, LMRefused, "expected settings that the model takes, got others"),
    (dspy.LMProviderError, LMUnavailable, "expected the model to answer, got an error of its server"),
)


def as_error(error: BaseException, secrets: Iterable[str] = ()) -> DspexError:
    """This package's error for whatever a run of a program raised, which is its cause. ``secrets`` appear in no text.

    Raises nothing. What is no fault of a model's is a :class:`ProgramFailed`, or an :class:`ImportFailed`.
    """
    made = _as_error(error, tuple(secrets))
    made.__cause__ = error
    return made


def _as_error(error: BaseException, secrets: tuple[str, ...]) -> DspexError:
    if isinstance(error, dspy.AdapterParseError):
        return LMParse(_unparsed(error))
    for kind, ours, sentence in _KINDS:
        if isinstance(error, kind):
            said = scrubbed(getattr(error, "message", "") or _said(error), secrets)
            after = getattr(error, "retry_after", None)
            return ours(f"{sentence}: {said}" if said else sentence, None if after is None else round(after * 1000))
    if isinstance(error, ImportError):
        return ImportFailed(f"expected a module to be importable, got {type(error).__name__}: {scrubbed(_said(error), secrets)}")
    return ProgramFailed(f"expected the program to answer, got {type(error).__name__}: {scrubbed(_said(error), secrets)}")


def scrubbed(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` without secrets and what looks like one, on one line of at most 200 characters.

    >>> scrubbed("Incorrect API key provided: sk-12345678", ())
    'Incorrect API key provided: ***'
    """
    for secret in secrets:
        text = text.replace(secret, "***")
    text = " ".join(_KEYS.sub("***", text[: 10 * _LENGTH]).split())
    return text if len(text) <= _LENGTH else text[: _LENGTH - 1] + "…"


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""


def _unparsed(error: dspy.AdapterParseError) -> str:
    wanted = ", ".join(getattr(error.signature, "output_fields", {}))
    got = getattr(error, "parsed_result", None)
    found = ", ".join(map(str, got)) if isinstance(got, dict) and got else "none of them"
    return f"expected the model to answer with the fields {wanted[:150]} in their types, got {found[:100]}"
