"""What went wrong with a model, in this package's words: one class for each thing that a caller can do about it, and no secret.

The texts of a server are cut and scrubbed, for some servers repeat the key that they refuse, and all repeat what they please.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import dspy
from dspy._vendor.lm15.rate_limits import freeze_rate_limits
from dspy.clients.errors import wrap_error

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
from dspex_erl.programs.lms.deadline import leave_if_late

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["as_error", "leave_if_no_time", "scrub", "scrubbed"]

_LENGTH = 200

# What looks like a key, whoever's it is: a server may shorten it to its ends, or put stars in.
_KEYS = re.compile(r"\b(?:sk|pk|rk|key|gsk|xai|AIza)[-_][\w*.…-]{4,}|(?i:bearer\s+|basic\s+|api[-_ ]?key\s*[:=]\s*)\S+")
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0e-\x1f\x7f]")
_MASKED = re.compile(r"[^\s'\",;:()]*(?:\*{2,}|…|\.{3,}|•{2,}|[xX]{4,})[^\s'\",;:()]*")

_SHORTEST = 4
"""A key of fewer characters is none: it is what people write where a key must be, and may be in any text."""

_ENDS = 4
"""So many characters of a key's beginning or end are as good as the key, where a server shows no more of it."""

_SAID_BY_SERVERS = ("message", "provider_code", "request_id")

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
    """``text`` without secrets, parts of them, and what looks like one, on one line of at most 200 characters.

    >>> scrubbed("Incorrect API key provided: sk-12345678", ())
    'Incorrect API key provided: ***'
    >>> scrubbed("No account has the key hunt****ty22, which ends in ty22", ("hunter-seventy22",))
    'No account has the key ***, which ends in ***'
    >>> scrubbed("\\x1b[32mDownload\\x1b[0m failed")
    'Download failed'
    """
    secrets = [secret for secret in secrets if len(secret) >= _SHORTEST]
    for secret in secrets:
        text = text.replace(secret, "***")
    # Only now: a cut could leave half of a secret. What follows takes time that is quadratic in the text.
    text = text[: 10 * _LENGTH]
    for secret in secrets:
        if len(secret) > 2 * _ENDS:
            text = _without_ends(text, secret)
    text = " ".join(_KEYS.sub("***", _COLOURS.sub("", text)).split())
    return text if len(text) <= _LENGTH else text[: _LENGTH - 1] + "…"


def scrub(error: BaseException, secrets: Iterable[str] = ()) -> None:
    """Takes secrets out of an error of DSPy's client, and out of its causes.

    That has to be done before DSPy sees it: DSPy prints why an attempt of ``best_of_n`` failed, and a program may log what it likes.
    """
    secrets = tuple(secrets)
    cause: BaseException | None = error
    while cause is not None:
        cause.args = tuple(scrubbed(value, secrets) if isinstance(value, str) else value for value in cause.args)
        for name in _SAID_BY_SERVERS:
            value = getattr(cause, name, None)
            if isinstance(value, str):
                setattr(cause, name, scrubbed(value, secrets))
        if getattr(cause, "rate_limit_headers", None):
            cause.rate_limit_headers = freeze_rate_limits(None)  # type: ignore[attr-defined]
        # Not what it happened in the course of: that is an error of somebody else's.
        cause = cause.__cause__


def _without_ends(text: str, secret: str) -> str:
    """``text`` without what a server leaves of a key that it does not want to repeat."""

    def mask(found: re.Match[str]) -> str:
        word = found.group()
        return "***" if word.startswith(secret[:2]) or secret[-2:] in word else word

    text = _MASKED.sub(mask, text)
    ends = "|".join(map(re.escape, (secret[:_ENDS], secret[-_ENDS:])))
    return re.sub(rf"(?<!\w)(?:{ends})(?!\w)", "***", text)


def leave_if_no_time(request: object, error: Exception) -> None:
    """Leaves the run if ``request``, which failed with ``error``, would be tried again, and too late."""
    wrapped = wrap_error(error, model="")
    if dspy.is_retryable_lm_error(wrapped):
        leave_if_late(request, error, getattr(wrapped, "retry_after", None))


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
