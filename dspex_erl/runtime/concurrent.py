"""Up to ``concurrency`` calls at once: an adaptive leader.

The *leader* is the thread that holds the baton. It reads a call and runs it itself, as the serial scheduler would; only when the call
turns out to be slow does the monitor hand the baton to another thread, which then leads. A function that was slow is remembered,
and the next time the baton is handed on before it is called. So a worker with one caller keeps the latency of a serial loop, and one with
many callers has a pool.

Threads that lost the baton finish their call, take calls that had to wait for a free place, and otherwise park until they are needed.
``async def`` functions take a place, but no thread.
"""

from __future__ import annotations

import sys
import threading
from _thread import allocate_lock
from collections import deque
from time import monotonic, sleep

from dspex_erl.errors import ProtocolError
from dspex_erl.runtime.scheduler import GRACE_SECONDS, TICK_SECONDS, Scheduler, Waiter
from dspex_erl.wire import Call, Failure, Invalid, Message, Result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from dspex_erl.runtime.calls import Calls
    from dspex_erl.runtime.channel import Channel
    from dspex_erl.wire import Event

__all__ = ["ConcurrentScheduler"]

SWITCH_SECONDS = 0.0002
"""The interpreter's thread switch interval: a small call beside one that computes waits 0.3 ms and not 5 ms, for 1 % of throughput."""

SLOW_MEMORY = 8
"""How many quick runs it takes for a function that was slow once to be trusted again: its first call may have been an import."""

SLOW_FUNCTIONS = 4096
"""How many slow functions are remembered."""

# What a parked thread is woken for.
_LEAD = "lead"
_WORK = "work"
_FINISH = "finish"


class _Parked:
    """A thread that waits to be useful."""

    __slots__ = ("lock", "reason")

    def __init__(self) -> None:
        self.lock = allocate_lock()
        self.lock.acquire()
        self.reason = _FINISH

    def wake(self, reason: str) -> None:
        self.reason = reason
        self.lock.release()


class ConcurrentScheduler(Scheduler):
    """Calls run on up to ``concurrency`` threads and on one event loop."""

    overlaps = True

    def __init__(self, channel: Channel, calls: Calls, expire: Callable[[int], object], concurrency: int) -> None:
        super().__init__(channel, calls, expire)
        self._limit = concurrency
        self._places = allocate_lock()  # guards the next four
        self._running = 0
        self._waiting = 0
        self._ready: deque[Call] = deque()
        self._parked: list[_Parked] = []
        self._slow: dict[tuple[Any, Any], int] = {}
        self._inline: tuple[Any, Any] | None = None
        self._messages: deque[Message] = deque()
        self._handling_messages = allocate_lock()
        self._over_lock = allocate_lock()
        self._over_lock.acquire()
        self._told = False
        self._failure: BaseException | None = None

    def run(self) -> None:
        sys.setswitchinterval(SWITCH_SECONDS)
        self._baton.acquire()
        self._start_monitor()
        # The main thread leads nobody: a thread blocked in a read could not be told that a call elsewhere has ended the worker.
        self._wake(None, _LEAD)
        self._over_lock.acquire()
        if self._failure is not None:
            self._finish_what_runs()
            # Not finished: should a thread of the user's keep the process, the monitor ends it.
            self._send_home()
            raise self._failure
        while self._running and not self.finished:
            # The monitor counts the grace that running calls have, and ends the process if it must.
            sleep(0.005)
        self._flush()
        self.finished = True

    # -- the life of a thread ----------------------------------------------------------------------------------------------------

    def _be_useful(self, reason: str) -> None:
        while reason is not _FINISH:
            if reason is _LEAD and self._lead():
                return
            while (call := self._next_ready()) is not None:
                self._perform(call)
                self._flush()
                if self._over():
                    return
            reason = self._park()

    def _lead(self) -> bool:
        """Reads and runs, holding the baton at the start, until the baton is lost (false) or all is over (true)."""
        while True:
            if self._ready:
                self._wake_for_ready()
            event = self._next_event()
            if event is None:
                return self._finish()
            if type(event) is not Call:
                if not self._lead_other(event):
                    return False
                continue
            if not self._take_place(event):
                continue
            key = (event.module, event.function)
            if key in self._slow:
                self._inline = None
                self._hand_on_baton()
                self._perform_slow(event, key)
                return self._over()
            self._inline = key
            self._drop_baton()
            self._perform(event)
            if self._over():
                return True
            if not self._baton.acquire(False):
                # The thread that leads now may have looked for held answers before this one held its own.
                self._flush()
                return False
            self._turn += 1

    def _lead_other(self, event: Event) -> bool:
        """Whether the baton is still ours after an event that is no call."""
        if type(event) is Message:
            self._messages.append(event)
            self._inline = None
            self._drop_baton()
            self._handle_messages()
            if not self._baton.acquire(False):
                self._flush()
                return False
            self._turn += 1
        else:
            self._route(event)
        return True

    def _next_event(self) -> Event | None:
        """The next event; ``None`` when there will be none."""
        while not self._backlog:
            if self.ended:
                return None
            self._flush()
            try:
                self._backlog.extend(self._read())
            except ProtocolError as error:
                self._cut_off(error)
                return None
        return self._backlog.popleft()

    def _cut_off(self, error: ProtocolError) -> None:
        """The stream cannot be followed any further. Nobody reads from here on: whoever found out keeps the baton for good."""
        self._failure = error
        self.status = 1
        self.deaf = True
        self._fail_waiters()
        self._tell_main()

    def _finish_what_runs(self) -> None:
        """Lets the calls that came so far end and be answered, within their grace."""
        deadline = monotonic() + GRACE_SECONDS
        while not self._idle() and monotonic() < deadline:
            if self._ready:
                self._wake_for_ready()
            sleep(0.005)
        self._flush()

    def _idle(self) -> bool:
        """Whether no call runs, waits for Erlang, or waits for a place."""
        with self._places:
            return not self._ready and self._running + self._waiting == 0

    def _route(self, event: Event) -> None:
        kind = type(event)
        if kind is Result or kind is Failure:
            self._deliver(event)  # type: ignore[arg-type]
        elif kind is Invalid:
            self._handle_invalid(event)  # type: ignore[arg-type]

    def _handle_messages(self) -> None:
        """Messages are handled one at a time and in order, by whoever is there first."""
        while self._messages and self._handling_messages.acquire(False):
            try:
                while self._messages:
                    self._handle_message(self._messages.popleft())
            finally:
                self._handling_messages.release()

    # -- places ------------------------------------------------------------------------------------------------------------------

    def _take_place(self, call: Call) -> bool:
        """Whether ``call`` may run now. If not, it waits for the next place that becomes free."""
        with self._places:
            if self._running < self._limit and not self._ready:
                self._running += 1
                return True
            self._ready.append(call)
            return False

    def _next_ready(self) -> Call | None:
        with self._places:
            if self._ready and self._running < self._limit:
                self._running += 1
                return self._ready.popleft()
            return None

    def _leave_place(self) -> None:
        with self._places:
            self._running -= 1
        if self._ready:
            self._wake_for_ready()

    def _wake_for_ready(self) -> None:
        """Somebody must take what is ready, now that there may be a place."""
        with self._places:
            if not self._ready or self._running >= self._limit:
                return
            parked = self._parked.pop() if self._parked else None
        self._wake(parked, _WORK)

    # -- running -----------------------------------------------------------------------------------------------------------------

    def _perform(self, call: Call) -> None:
        """Runs ``call``, which has a place, and gives the place back."""
        coroutine = self._answer(call)
        if coroutine is None:
            with self._places:
                self._running -= 1
        else:
            self._start_coroutine(coroutine, lambda value, error: self._coroutine_done(call, value, error))

    def _perform_slow(self, call: Call, key: tuple[Any, Any]) -> None:
        started = monotonic()
        self._perform(call)
        self._flush()
        if monotonic() - started >= TICK_SECONDS:
            self._remember_slow(key)
            return
        trust = self._slow.get(key, 0) - 1
        if trust > 0:
            self._slow[key] = trust
        else:
            self._slow.pop(key, None)

    def _remember_slow(self, key: tuple[Any, Any]) -> None:
        if len(self._slow) < SLOW_FUNCTIONS:
            self._slow[key] = SLOW_MEMORY

    def _coroutine_done(self, call: Call, value: Any, error: BaseException | None) -> None:
        if error is None:
            try:
                self._answer_value(call.id, value, self.calls.encoder)
            except BaseException as failure:
                error = failure
        if error is not None:
            self._answer_failure(call.id, error)
        self._flush()
        self._leave_place()
        self._over()

    def _over(self) -> bool:
        """Whether the worker was asked to stop and has finished all that ran; if so, the main thread is told."""
        return self.stopping and self._idle() and self._finish()

    def _finish(self) -> bool:
        """Everybody may go home, the main thread first, unless the calls that run may still be answered. Returns whether all is over."""
        if self._failure is not None:
            return False
        self._tell_main()
        self._send_home()
        return True

    def _tell_main(self) -> None:
        with self._places:
            if self._told:
                return
            self._told = True
        self._over_lock.release()

    def _send_home(self) -> None:
        with self._places:
            self.ended = True
            parked, self._parked = self._parked, []
        if self._parked_monitor:
            self._unpark_monitor()
        for thread in parked:
            thread.wake(_FINISH)

    # -- waiting and handing on --------------------------------------------------------------------------------------------------

    def _wait(self, waiter: Waiter) -> None:
        with self._places:
            self._running -= 1
            self._waiting += 1
        if self._ready:
            self._wake_for_ready()
        if self._baton.acquire(False):
            self._turn += 1
            self._read_until(waiter)
        waiter.lock.acquire()
        with self._places:
            self._running += 1
            self._waiting -= 1

    def _read_until(self, waiter: Waiter) -> None:
        """Nobody reads: reads until the answer is there. Calls that come are for others, who may take their time."""
        while waiter.answer is None:
            event = self._next_event()
            if event is None:
                if not self._finish():
                    return
                break
            if type(event) is Call:
                with self._places:
                    self._ready.append(event)
                self._wake_for_ready()
            elif type(event) is Message:
                self._messages.append(event)
                threading.Thread(target=self._handle_messages, daemon=True).start()
            else:
                self._route(event)
        if self._waiters and not self.ended:
            self._hand_on_baton()
        else:
            self._inline = None
            self._drop_baton()

    def _stalled(self) -> None:
        if not self._baton.acquire(False):
            return
        inline, self._inline = self._inline, None
        if inline is not None:
            self._remember_slow(inline)
        self._flush()
        self._hand_on_baton()

    def _hand_on_baton(self) -> None:
        """Another thread leads from here on."""
        self._turn += 1
        with self._places:
            parked = self._parked.pop() if self._parked else None
        self._wake(parked, _LEAD)

    def _wake(self, parked: _Parked | None, reason: str) -> None:
        if parked is not None:
            parked.wake(reason)
        else:
            threading.Thread(target=self._be_useful, args=(reason,), name="dspex_erl-call", daemon=True).start()

    def _park(self) -> str:
        with self._places:
            if self.ended:
                return _FINISH
            if self._ready and self._running < self._limit:
                return _WORK
            parked = _Parked()
            self._parked.append(parked)
        parked.lock.acquire()
        return parked.reason
