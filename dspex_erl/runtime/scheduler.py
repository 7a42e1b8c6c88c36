"""What both schedulers share: who reads, who waits for an answer, and who notices that nobody reads.

One thread at a time reads the channel: the one that holds the *baton*. On the fast path whoever reads a call also runs it, having let
go of the baton, and takes it up again afterwards, so that a small call costs two uncontended locks and no change of thread.
The *monitor* wakes every few milliseconds while there is work; when it finds the baton lying where it lay a tick ago, a call is taking
its time, and somebody else must read: answers to calls of ours, further calls, the end of the stream.

========================  =====================================================================================
:mod:`.serial`            calls run in order on one thread; the monitor itself reads meanwhile
:mod:`.concurrent`        the monitor hands the baton to another thread, which reads and runs the next call
========================  =====================================================================================

Only ``_thread`` is used up to the first answer: importing :mod:`threading` costs as much as three calls in ten.
"""

from __future__ import annotations

import itertools
from _thread import allocate_lock, start_new_thread
from collections import deque
from time import monotonic, sleep
from types import CoroutineType

from dspex_erl.errors import CodecError, ConnectionLost, DspexError, WorkerStopping
from dspex_erl.runtime.calls import error_term
from dspex_erl.runtime.log import log
from dspex_erl.terms import Atom
from dspex_erl.wire import Call, Failure, HandlerFailure, Invalid, Message, Result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from dspex_erl.runtime.calls import Calls
    from dspex_erl.runtime.channel import Channel
    from dspex_erl.runtime.output import ForwardedOutput
    from dspex_erl.wire import Event

__all__ = ["GRACE_SECONDS", "Scheduler", "Waiter"]

TICK_SECONDS = 0.001
"""How long a call may keep the baton's place before somebody else reads."""

LONGEST_TICK_SECONDS = 0.004
"""What a tick grows to while calls are quick. Each tick takes the interpreter from the thread that works, and that thread may be half a
tick in getting it back."""

IDLE_TICKS = 50
"""After so many ticks without work the monitor sleeps until it is called."""

GRACE_SECONDS = 1.0
"""How long running calls may go on once the stream has ended. The promise is that the process is gone within 2 s."""


class Waiter:
    """A thread's place to wait for the answer to a call of ours; ``answer`` is set once, then ``lock`` is released."""

    __slots__ = ("answer", "lock")

    def __init__(self) -> None:
        self.answer: Any = None
        self.lock = allocate_lock()
        self.lock.acquire()

    def resolve(self, answer: Any) -> None:
        """Ends the waiting with an event or an exception."""
        self.answer = answer
        self.lock.release()


class Scheduler:
    """Serves the calls that come over ``channel`` with ``calls``, until the stream ends or ``stop`` is asked for."""

    overlaps = False
    """Whether several calls may run at once, so that one that waits should do so as a coroutine."""

    def __init__(self, channel: Channel, calls: Calls, expire: Callable[[int], object]) -> None:
        self.channel = channel
        self.calls = calls
        self.stdout: ForwardedOutput | None = None
        self.message_handler: Callable[[Any], Any] | None = None
        self._connection = channel.connection
        self._expire = expire
        self._baton = allocate_lock()
        self._turn = 0
        self._parked_monitor: list[None] = []
        self._monitor_lock = allocate_lock()
        self._monitor_lock.acquire()
        self._waiters: dict[int, Waiter] = {}
        self._ids = itertools.count(1)
        self._loop: Any = None
        self._loop_lock = allocate_lock()
        # What was read and not looked at yet. Only who holds the baton takes anything out of it.
        self._backlog: deque[Event] = deque()
        self.stopping = False
        #: Nothing will be read any more, so that nobody may wait for an answer.
        self.deaf = False
        #: The stream is over, and nobody would take an answer.
        self.ended = False
        self.finished = False
        self.status = 0

    # -- for the thread that calls run() -----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serves until the end; returns when the process should exit. Raises ``FrameTooLong`` when the stream cannot be followed."""
        raise NotImplementedError

    def stop(self) -> None:
        """Calls that run are finished, calls that come are refused, then :meth:`run` returns."""
        self._connection.stop()
        self.stopping = True

    # -- calls of ours -----------------------------------------------------------------------------------------------------------

    def call_erlang(self, module: Any, function: Any, args: list[Any], context: Any) -> Result | Failure:
        """Calls Erlang from any thread and waits. Raises ``ConnectionLost``, ``EncodeError``, or what made the answer unreadable."""
        waiter = Waiter()
        id = next(self._ids)
        self._waiters[id] = waiter
        try:
            self.channel.send(Call(id, module, function, args, context))
        except BaseException:
            self._waiters.pop(id, None)
            raise
        if self.deaf:
            self._fail_waiters()
        self._wait(waiter)
        answer = waiter.answer
        if isinstance(answer, BaseException):
            raise answer
        return answer  # type: ignore[no-any-return]

    def _wait(self, waiter: Waiter) -> None:
        raise NotImplementedError

    def _deliver(self, event: Result | Failure | Invalid) -> None:
        waiter = self._waiters.pop(event.id, None)  # type: ignore[arg-type]
        if waiter is not None:
            waiter.resolve(event.error if type(event) is Invalid else event)

    def _end_of_stream(self) -> None:
        """Nothing will come any more, so nobody may wait for anything."""
        self.deaf = self.ended = True
        self._connection.close()
        self._fail_waiters()
        if self._parked_monitor:
            self._unpark_monitor()

    def _fail_waiters(self) -> None:
        while self._waiters:
            try:
                _, waiter = self._waiters.popitem()
            except KeyError:
                break
            waiter.resolve(ConnectionLost("expected an answer from Erlang, got the end of the connection"))

    # -- calls of theirs ---------------------------------------------------------------------------------------------------------

    def _answer(self, call: Call) -> CoroutineType[Any, Any, Any] | None:
        """Runs ``call`` and answers it. A coroutine that it returned is not answered yet: the caller sees to it."""
        if self.stopping:
            self._answer_failure(call.id, WorkerStopping("expected a worker that takes calls, got one that is stopping"))
            return None
        # As with ErlPort, a call that sets an encoder is itself answered with the one before.
        encoder = self.calls.encoder
        try:
            value = self.calls.run(call)
            if type(value) is CoroutineType:
                return value
            stdout = self.stdout
            if encoder is not None or (stdout is not None and stdout.unsent):
                self._answer_value(call.id, value, encoder)
            elif self._backlog:
                self.channel.send_soon(Result(call.id, value))
            else:
                self.channel.send(Result(call.id, value))
        except BaseException as error:
            self._answer_failure(call.id, error)
        return None

    def _answer_value(self, id: int, value: Any, encoder: Callable[[Any], Any] | None) -> None:
        if encoder is not None:
            value = encoder(value)
        if self.stdout is not None and self.stdout.unsent:
            self._flush_stdout()
        self._send_answer(Result(id, value))

    def _answer_failure(self, id: int, error: BaseException) -> None:
        """Every call gets an answer, so if the error's description cannot be sent, a shorter one is."""
        if self.ended or self.channel.lost:
            return
        if self.stdout is not None and self.stdout.unsent:
            self._flush_stdout()
        tag, kind, message, trace = error_term(error)
        error = None  # type: ignore[assignment]  # its traceback holds the frames that hold it
        terms: tuple[tuple[Any, ...], ...] = (
            (tag, kind, message, trace),
            (tag, kind, message[:200], []),
            (tag, kind, "", []),
            (tag, Atom("error"), "", []),
        )
        for term in terms:
            try:
                self._send_answer(Failure(id, term))
            except ConnectionLost:
                return
            except CodecError:
                continue
            return
        log.error("call %d could not be answered: its error does not fit into a frame", id)

    def _send_answer(self, answer: Result | Failure) -> None:
        if self._backlog:
            self.channel.send_soon(answer)
        else:
            self.channel.send(answer)

    def _flush_stdout(self) -> None:
        stdout = self.stdout
        if stdout is not None:
            stdout.unsent = False
            stdout.flush()

    def _handle_message(self, message: Message) -> None:
        """Hands a message to the user's handler. As with ErlPort, an error in it ends the instance: Erlang's side sees to that."""
        handler = self.message_handler
        if handler is None:
            return
        try:
            handler(message.payload)
            self._flush_stdout()
        except BaseException as error:
            log.error("the message handler failed with %s", type(error).__name__)
            self._send_quietly(HandlerFailure(error_term(error)))

    def _handle_invalid(self, event: Invalid) -> None:
        if event.kind == "call" and event.id is not None:
            log.warning("refused a call: %s", event.error)
            self._answer_failure(event.id, event.error)
        elif event.kind == "answer":
            log.warning("unreadable answer from Erlang: %s", event.error)
            self._deliver(event)
        else:
            log.warning("ignored a frame: %s", event.error)

    def _send_quietly(self, event: Event) -> None:
        try:
            self.channel.send(event)
        except ConnectionLost:
            pass
        except DspexError as error:
            log.error("could not send %s: %s", type(event).__name__, error)

    # -- coroutines --------------------------------------------------------------------------------------------------------------

    def _start_coroutine(self, coroutine: CoroutineType[Any, Any, Any], done: Callable[[Any, BaseException | None], None]) -> None:
        """Runs ``coroutine`` on the worker's one event loop; ``done(value, error)`` is called there at its end."""
        with self._loop_lock:
            if self._loop is None:
                from dspex_erl.runtime.loop import EventLoop

                self._loop = EventLoop()
        self._loop.start(coroutine, done)

    # -- the baton ---------------------------------------------------------------------------------------------------------------

    def _drop_baton(self) -> None:
        """Lets go of the baton before user code runs."""
        self._baton.release()
        if self._parked_monitor:
            self._unpark_monitor()

    def _start_monitor(self) -> None:
        start_new_thread(self._monitor, ())

    def _monitor(self) -> None:
        seen = -1
        idle = 0
        tick = TICK_SECONDS
        while not self.ended:
            sleep(tick)
            turn = self._turn
            if turn != seen:
                # Calls come and go.
                seen = turn
                idle = 0
                tick = min(2 * tick, LONGEST_TICK_SECONDS)
                continue
            tick = TICK_SECONDS
            if not self._baton.locked():
                self._stalled()
                idle = 0
                continue
            # Somebody reads. Many such ticks with nothing read in between, and there is nothing to watch.
            idle += 1
            if idle > IDLE_TICKS:
                self._park_monitor()
                idle = 0
        self._outlive()

    def _park_monitor(self) -> None:
        self._parked_monitor.append(None)
        # A baton that was dropped before the line above would never be noticed.
        if not self._baton.locked():
            self._unpark_monitor()
        self._monitor_lock.acquire()

    def _unpark_monitor(self) -> None:
        try:
            self._parked_monitor.pop()
        except IndexError:
            return
        # Only one thread can have popped, so the lock is released once.
        self._monitor_lock.release()

    def _stalled(self) -> None:
        """The baton has been lying for a tick: see to it that somebody reads."""
        raise NotImplementedError

    def _read(self) -> list[Event]:
        """The events of one read, for whoever holds the baton; none at the end of the stream. Raises ``FrameTooLong``."""
        events = self.channel.receive()
        if events is None:
            self._end_of_stream()
            return []
        return events

    def _flush(self) -> None:
        """Sends what is held back, before this thread waits."""
        if self.channel.held:
            try:
                self.channel.flush()
            except ConnectionLost:
                # The reading side will find out, too.
                pass

    def _outlive(self) -> None:
        """The stream has ended: gives what still runs its grace, and then ends the process."""
        deadline = monotonic() + GRACE_SECONDS
        while not self.finished:
            if monotonic() > deadline:
                self._expire(self.status)
            sleep(0.01)
