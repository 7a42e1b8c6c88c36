"""One run of a program: in a context of its own, with a deadline, and with exactly one outcome.

A run reads its session once, when it is made: the model, the adapter, the settings and the cache's namespace that it began with are the ones
that it ends with. Everything that DSPy would share between runs (its history, its trace, its usage counts, its cache) is set
apart by ``dspy.context``; ``dspy.configure`` is never called. A run can be stopped at any moment: on an event loop its task is cancelled, which
closes the model's socket; on a thread it ends before its next request, and the request that it waits for ends by the deadline.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import dspy
from dspy.clients.errors import wrap_error
from dspy.utils.usage_tracker import UsageTracker

from dspex_erl.errors import DspexError, LMParse, TimeoutExpired
from dspex_erl.programs.cache import CacheUse
from dspex_erl.programs.lms.deadline import Deadline, GiveUp, Late
from dspex_erl.programs.lms.faults import as_error
from dspex_erl.programs.schema import typed_values
from dspex_erl.programs.values import plain_result
from dspex_erl.sessions.session import Usage

if TYPE_CHECKING:
    from dspex_erl.programs.lms.build import Model
    from dspex_erl.programs.program import Built
    from dspex_erl.sessions import Clock, Session

__all__ = ["Execution", "Outcome"]

THREADS = 64
"""How many programs without an asynchronous form run at once."""

_pool_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None


@dataclass(frozen=True)
class Outcome:
    """What a run gave: plain values by the names of the output fields, what it used, and whether the cache had every answer."""

    values: dict[str, Any]
    usage: Usage
    cached: bool
    seconds: float


class _Meter(UsageTracker):  # type: ignore[misc]
    """Adds up usage for one run, from however many threads and contexts it spreads to."""

    def __init__(self) -> None:
        self.usage = Usage()
        self.usage_data: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __deepcopy__(self, memo: Any) -> _Meter:
        return self

    def add_usage(self, lm: str, usage_entry: dict[str, Any]) -> None:
        if not usage_entry:
            return
        prompt, completion = (_count(usage_entry, *names) for names in (_PROMPT, _COMPLETION))
        total = _count(usage_entry, "total_tokens") or prompt + completion
        with self._lock:
            self.usage += Usage(1, prompt, completion, total)


_PROMPT = ("prompt_tokens", "input_tokens")
_COMPLETION = ("completion_tokens", "output_tokens")


def _count(entry: dict[str, Any], *names: str) -> int:
    for name in names:
        value = entry.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return 0


class Execution:
    """One run. Make it, then call :meth:`run`, or await :meth:`arun`, once."""

    def __init__(
        self,
        session: Session,
        built: Built,
        model: Model,
        adapter: Any,
        inputs: dict[str, Any],
        config: dict[str, Any],
        clock: Clock,
        seconds: float | None,
    ) -> None:
        self._session = session
        self._built = built
        self._module = built.fresh()
        signature = built.spec.signature
        self._inputs = inputs if signature is None else typed_values(signature, inputs)
        self._model = model
        self._lm = model.configured(config)
        self._clock = clock
        self._began = clock.monotonic()
        self._seconds = seconds
        self._deadline = Deadline(None if seconds is None else self._began + seconds)
        self._meter = _Meter()
        self._cache = CacheUse(session.namespace)
        self._adapter = adapter
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._over = False
        session.runs.add(self)

    # -- being stopped -----------------------------------------------------------------------------------------------------------

    def stop(self, error: BaseException) -> None:
        """Ends the run as soon as it can be ended; its caller gets ``error``. From any thread; does nothing to a run that is over."""
        if self._over or self._error is not None:
            return
        self._error = error
        self._deadline.at = float("-inf")
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if not self._over and self._task is not None:
            self._task.cancel()

    def _expire(self) -> None:
        self.stop(self._expired())

    def _expired(self) -> TimeoutExpired:
        return TimeoutExpired(f"expected the program to answer within {round((self._seconds or 0) * 1000)} ms, got no answer")

    # -- running -----------------------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Runs in this thread. Raises one of this package's errors, whatever the program raised."""
        try:
            return self._outcome(self._call())
        except BaseException as error:
            self._fail(error)
        finally:
            self._end()

    async def arun(self) -> Outcome:
        """Runs on this event loop, or beside it on a thread if the program has no asynchronous form. Raises as :meth:`run`."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        timer = None
        try:
            if self._error is not None:
                raise self._error
            if self._deadline.at is not None:
                timer = self._loop.call_later(max(0.0, self._deadline.at - self._clock.monotonic()), self._expire)
            if self._built.spec.kind.asynchronous:
                with dspy.context(**self._settings()):
                    return self._outcome(await self._module.acall(**self._inputs))
            call = contextvars.copy_context().run
            return self._outcome(await self._loop.run_in_executor(_threads(), call, self._call))
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and self._error is None:
                raise
            self._fail(error)
        finally:
            if timer is not None:
                timer.cancel()
            self._end()

    def _call(self) -> Any:
        if self._error is not None:
            raise self._error
        with dspy.context(**self._settings()):
            return self._module(**self._inputs)

    def _settings(self) -> dict[str, Any]:
        return {
            "lm": self._lm,
            "adapter": self._adapter,
            "callbacks": list(self._model.callbacks),
            "deadline": self._deadline,
            "trace": [],
            "usage_tracker": self._meter,
            "track_usage": True,
            "disable_history": True,
            "warn_on_type_mismatch": False,
            "cache_ns": self._cache,
        }

    # -- ending ------------------------------------------------------------------------------------------------------------------

    def _outcome(self, prediction: Any) -> Outcome:
        if prediction is None:
            raise LMParse("expected one of the attempts to succeed, got none that did")
        values = dict(prediction.items())
        signature = self._built.spec.signature
        result = values if signature is None else plain_result(signature, values)
        if isinstance(values.get("reasoning"), str):
            result.setdefault("reasoning", values["reasoning"])
        cached = self._cache.hits > 0 and self._meter.usage.requests == 0
        outcome = Outcome(result, self._meter.usage, cached, self._clock.monotonic() - self._began)
        self._session.statistics.add_run(outcome.usage, cached)
        return outcome

    def _fail(self, error: BaseException) -> NoReturn:
        failure = self._failure(error)
        if failure is error:
            raise failure
        raise failure from error

    def _failure(self, error: BaseException) -> BaseException:
        """The error that the caller gets for ``error``: why the run was stopped, if it was, else what went wrong."""
        if self._error is not None:
            return self._error
        if isinstance(error, Late):
            return self._expired()
        if isinstance(error, GiveUp):
            error = wrap_error(error.error, model=self._lm.model)
        if isinstance(error, DspexError):
            return error
        return as_error(error, self._model.secrets)

    def _end(self) -> None:
        self._over = True
        self._session.runs.discard(self)


def _threads() -> ThreadPoolExecutor:
    global _pool
    with _pool_lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(THREADS, "dspex_erl-program")
        return _pool
