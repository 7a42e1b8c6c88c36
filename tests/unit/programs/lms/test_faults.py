"""Which of our errors stands for what went wrong, and that none of them shows a secret."""

from __future__ import annotations

import time
from typing import Any

import dspy
import pytest
from dspy.lm15 import AuthError, RateLimitError

from dspex_erl.errors import (
    ContextWindow,
    DspexError,
    ImportFailed,
    LMAuth,
    LMParse,
    LMRefused,
    LMUnavailable,
    ProgramFailed,
    RateLimited,
)
from dspex_erl.programs.lms.deadline import Deadline, GiveUp
from dspex_erl.programs.lms.faults import as_error, leave_if_no_time, scrub, scrubbed
from dspex_erl.programs.ready import dspy_module
from dspex_erl.programs.schema import dspy_signature
from dspex_erl.programs.signature import parse_signature

dspy_module()

KEY = "acme-7f3k9Q2mZx41"


@pytest.mark.parametrize(
    ("kind", "ours"),
    [
        (dspy.ContextWindowExceededError, ContextWindow),
        (dspy.LMRateLimitError, RateLimited),
        (dspy.LMAuthError, LMAuth),
        (dspy.LMBillingError, LMAuth),
        (dspy.LMNotConfiguredError, LMAuth),
        (dspy.LMTimeoutError, LMUnavailable),
        (dspy.LMServerError, LMUnavailable),
        (dspy.LMTransportError, LMUnavailable),
        (dspy.LMProviderError, LMUnavailable),
        (dspy.LMUnsupportedModelError, LMRefused),
        (dspy.LMUnsupportedFeatureError, LMRefused),
        (dspy.LMInvalidRequestError, LMRefused),
        (dspy.LMConfigurationError, LMRefused),
    ],
)
def test_errors_of_the_model(kind: Any, ours: type[DspexError]) -> None:
    original = kind(message=f"it said {KEY}", model="openai/m")
    made = as_error(original, (KEY,))
    assert type(made) is ours
    assert made.__cause__ is original
    assert str(made).startswith("expected ")
    assert str(made).endswith("it said ***")


@pytest.mark.parametrize(("after", "milliseconds"), [(None, None), (0, 0), (1.5, 1500), (0.0004, 0), (3600, 3_600_000)])
def test_when_to_come_back(after: float | None, milliseconds: int | None) -> None:
    made = as_error(dspy.LMRateLimitError(message="slow", model="openai/m", retry_after=after))
    assert isinstance(made, RateLimited)
    assert made.retry_after_ms == milliseconds


def test_an_answer_that_cannot_be_read() -> None:
    signature = dspy_signature(parse_signature("question -> answer, score: float"))
    made = as_error(dspy.AdapterParseError("ChatAdapter", signature, f"the secret {KEY}", "no", {"answer": KEY}), ())
    assert type(made) is LMParse
    assert str(made) == "expected the model to answer with the fields answer, score in their types, got answer"


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (ModuleNotFoundError("No module named 'deno'"), ImportFailed),
        (ZeroDivisionError("division by zero"), ProgramFailed),
        (ValueError(KEY), ProgramFailed),
        (KeyboardInterrupt(), ProgramFailed),
    ],
)
def test_everything_else(error: BaseException, ours: type[DspexError]) -> None:
    made = as_error(error, (KEY,))
    assert type(made) is ours
    assert made.__cause__ is error
    assert type(error).__name__ in str(made)
    assert KEY not in str(made)


def test_an_error_that_cannot_be_said() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert "Mute" in str(as_error(Mute()))


class TestScrubbed:
    @pytest.mark.parametrize(
        "said",
        [
            f"wrong key {KEY}",
            f"wrong key '{KEY}'.",
            f"wrong keys {KEY}{KEY}",
            f"Authorization: Bearer {KEY}",
            "wrong key acme-7f3****x41",
            "wrong key: ac…41",
            "wrong key ...Zx41",
            "the key that ends in Zx41",
            "the key (acme) is wrong",
            "wrong key ac**********41, try again",
            "x" * 1990 + KEY,
            "\n" * 5000 + KEY,
        ],
    )
    def test_the_key_of_the_session(self, said: str) -> None:
        shown = scrubbed(said, (KEY,))
        for part in (KEY, "7f3", "Zx41", "x41", "…41", "*41", "acme"):
            assert part not in shown

    @pytest.mark.parametrize(
        "said",
        [
            "Incorrect API key provided: sk-proj-****************wxyz.",
            "Incorrect API key provided: sk-abcdefgh",
            "bad token gsk_abcdefgh",
            "bad token AIza-abcdefgh",
            "header Authorization: Basic abcdefgh",
            "header authorization: bearer abcdefgh",
            "api_key=abcdefgh is wrong",
            "api-key: abcdefgh is wrong",
        ],
    )
    def test_anybody_elses(self, said: str) -> None:
        shown = scrubbed(said)
        assert "abcdefgh" not in shown
        assert "wxyz" not in shown
        assert "***" in shown

    def test_what_is_no_key_stays(self) -> None:
        said = "expected a model such as gpt-4o... got none (status 404), see https://example.com/keys"
        assert scrubbed(said, (KEY,)) == said

    def test_what_people_write_for_a_key_stays(self) -> None:
        assert scrubbed("x is not an index", ("x", "", "no")) == "x is not an index"

    def test_length_and_lines(self) -> None:
        shown = scrubbed("one\r\n\ttwo " + "word " * 1000)
        assert shown.startswith("one two word")
        assert len(shown) == 200
        assert shown.endswith("…")

    def test_a_text_of_any_length_is_no_work(self) -> None:
        assert len(scrubbed("*" * 10_000_000, (KEY,))) <= 200


class TestScrub:
    def test_an_error_and_its_causes(self) -> None:
        error = RateLimitError(
            f"slow, {KEY}",
            provider_code=KEY,
            request_id=f"r-{KEY}",
            retry_after=7,
            status=429,
            rate_limit_headers={"x-ratelimit-limit-requests": [KEY]},
        )
        cause = OSError(5, f"no more, {KEY}")
        error.__cause__, error.__context__ = cause, ValueError(KEY)
        scrub(error, (KEY,))
        assert KEY not in str(error) + repr(error) + repr(vars(error)) + repr(cause.args)
        # The client has advice of its own to add.
        assert error.message.startswith("slow, ***")
        assert (error.request_id, error.retry_after, error.status) == ("r-***", 7, 429)
        assert cause.args == (5, "no more, ***")
        # What it happened in the course of is somebody else's.
        assert error.__context__.args == (KEY,)

    def test_without_secrets(self) -> None:
        error = AuthError("no account has sk-abcdefgh")
        scrub(error)
        said = error.message
        assert said.startswith("no account has ***")
        scrub(error)
        assert error.message == said


def test_time_for_another_try() -> None:
    with dspy.context(deadline=Deadline(time.monotonic() + 100)):
        leave_if_no_time("request", RateLimitError("slow", retry_after=1))
        leave_if_no_time("request", AuthError("wrong"))
        with pytest.raises(GiveUp):
            leave_if_no_time("request", RateLimitError("slow", retry_after=1000))
    leave_if_no_time("request", RateLimitError("slow", retry_after=1000))
