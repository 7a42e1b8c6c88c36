"""The models of tests: ``echo``, which repeats what it is asked, and ``scripted``, which says what it was told to say.

Both count one token for each word, so that usage can be tested. An answer of a script is a completion's text, or a map of fields, which is
written in the format of the adapter at hand. ``delay_ms`` in a map makes the answer late. A map of ``error`` (one of the
reasons of an ``LMError``), and perhaps ``retry_after_ms``, makes the model fail; it is not tried again unless ``num_retries`` asks for it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextvars import ContextVar
from typing import Any

import dspy
from dspy.lm15 import (
    AuthError,
    ContextLengthError,
    InvalidRequestError,
    LM15Error,
    Message,
    RateLimitError,
    Request,
    Response,
    ServerError,
    TextPart,
    Usage,
)

from dspex_erl.programs.lms.answers import echoed, rendered
from dspex_erl.programs.lms.calls import current_call
from dspex_erl.programs.lms.deadline import seconds_left
from dspex_erl.programs.lms.faults import leave_if_no_time

__all__ = ["AsyncOffline", "Echo", "Scripted"]

_ERRORS: dict[str, Any] = {
    "rate_limited": RateLimitError,
    "lm_auth": AuthError,
    "lm_unavailable": ServerError,
    "lm_refused": InvalidRequestError,
    "context_window": ContextLengthError,
}

_said: ContextVar[str | None] = ContextVar("dspex_erl_said", default=None)
"""The last answer to the run at hand."""


class Echo:
    """Answers every request out of its inputs; the same request always has the same answer."""

    supports_response_schema = True
    supported_params = frozenset({"response_format", "temperature", "max_tokens", "stop", "seed", "top_p"})

    def next_answer(self) -> Any:
        """What to say to the request at hand: a text, or a map of fields."""
        return echoed(current_call())

    def complete(self, request: Request) -> Response:
        """Answers, after the delay that the answer asks for."""
        try:
            answer, delay = _delayed(self.next_answer())
            _sleep(delay)
            return _response(request, answer)
        except LM15Error as error:
            leave_if_no_time(request, error)
            raise


class Scripted(Echo):
    """Says its answers one after the other, whoever asks; then it refuses."""

    def __init__(self, answers: tuple[Any, ...]) -> None:
        self._answers = iter(answers)
        self._count = len(answers)
        self._lock = threading.Lock()

    def next_answer(self) -> Any:
        with self._lock:
            answer = next(self._answers, None)
        if answer is None:
            answer = _said.get() if _asked_again() else None
        if answer is None:
            raise InvalidRequestError(f"the script has {self._count} answers, and all of them were given")
        return answer


class AsyncOffline:
    """The same for an event loop, where being late costs nothing."""

    def __init__(self, engine: Echo) -> None:
        self._engine = engine

    async def complete(self, request: Request) -> Response:
        """Answers, after the delay that the answer asks for."""
        try:
            answer, delay = _delayed(self._engine.next_answer())
            if delay:
                await asyncio.sleep(delay)
            return _response(request, answer)
        except LM15Error as error:
            leave_if_no_time(request, error)
            raise


def _asked_again() -> bool:
    """Whether an adapter could not read the last answer, and had JSON asked for in place of its own format.

    A model that goes on talking nonsense is one whose answer cannot be read, even if its script has one line of it.
    """
    call = current_call()
    chosen = dspy.settings.get("adapter")
    if call is None or call.adapter is chosen or not isinstance(call.adapter, dspy.JSONAdapter):
        return False
    return chosen is None or isinstance(chosen, dspy.ChatAdapter)


def _delayed(answer: Any) -> tuple[Any, float]:
    if not isinstance(answer, dict) or "delay_ms" not in answer:
        return answer, 0.0
    rest = {name: value for name, value in answer.items() if name != "delay_ms"}
    return rest, answer["delay_ms"] / 1000


def _sleep(seconds: float) -> None:
    left = seconds_left()
    time.sleep(seconds if left is None else min(seconds, left))
    seconds_left()


def _response(request: Request, answer: Any) -> Response:
    if isinstance(answer, dict) and answer.get("error") in _ERRORS and not answer.keys() - {"error", "retry_after_ms"}:
        after = answer.get("retry_after_ms")
        raise _ERRORS[answer["error"]]("the script says so", retry_after=None if after is None else after / 1000)
    text = answer if isinstance(answer, str) else rendered(answer, current_call())
    _said.set(text)
    asked = sum(len((message.text or "").split()) for message in request.messages)
    said = len(text.split())
    return Response(
        id=None,
        model=request.model,
        message=Message.assistant([TextPart(text)]),
        finish_reason="stop",
        usage=Usage(input_tokens=asked, output_tokens=said, total_tokens=asked + said),
    )
