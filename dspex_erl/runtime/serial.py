"""One call at a time, in order of arrival, on the main thread: what ErlPort's users rely on.

The thread that calls :meth:`SerialScheduler.run` is the *server*. While it waits for an answer from Erlang it serves the calls that come
meanwhile, nested, as ErlPort does. Every :data:`NESTED_PER_STACK` levels the serving moves to a thread with a stack of its own, so that
nesting is limited by memory and not by the interpreter's recursion limit.

When a call lasts longer than a tick, the monitor reads in the server's place. It runs nothing: calls go to the backlog, answers to
whichever thread waits for them, and at the end of the stream it ends the process.
"""

from __future__ import annotations

import os
from _thread import allocate_lock, get_ident

from dspex_erl.errors import ConnectionLost, ProtocolError
from dspex_erl.runtime.scheduler import Scheduler, Waiter
from dspex_erl.wire import Call, Failure, Invalid, Message, Result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CoroutineType
    from typing import Any

    from dspex_erl.runtime.calls import Calls
    from dspex_erl.runtime.channel import Channel

__all__ = ["SerialScheduler"]

NESTED_PER_STACK = 16
"""How many calls nest on one stack: each takes about ten Python frames of the thousand that one stack may have."""

BACKLOG = 10_000
"""How many events may wait before the monitor leaves the rest in the pipe, where they hold up the sender."""


class SerialScheduler(Scheduler):
    """Calls run one at a time on the thread that serves."""

    def __init__(self, channel: Channel, calls: Calls, expire: Callable[[int], object]) -> None:
        super().__init__(channel, calls, expire)
        self._server = 0
        self._depth = 0
        self._wanted = False
        self._wake_read, self._wake_write = os.pipe()

    def run(self) -> None:
        self._server = get_ident()
        self._baton.acquire()
        self._start_monitor()
        try:
            self._serve(None)
        except ProtocolError:
            # Not finished: should a thread of the user's keep the process, the monitor ends it.
            self.status = 1
            self._flush()
            self._end_of_stream()
            raise
        self._flush()
        self.finished = True

    def _serve(self, waiter: Waiter | None) -> None:
        """Serves, holding the baton, until ``waiter`` has its answer; without one, until the end."""
        backlog, channel = self._backlog, self.channel
        while waiter is None or waiter.answer is None:
            if not backlog:
                if self.ended:
                    return
                if channel.held:
                    self._flush()
                backlog.extend(self._read())
                continue
            event = backlog.popleft()
            kind = type(event)
            if kind is Call:
                self._serve_call(event)  # type: ignore[arg-type]
            elif kind is Result or kind is Failure:
                self._deliver(event)  # type: ignore[arg-type]
            elif kind is Message:
                self._run_user_code(self._handle_message, event)
            elif kind is Invalid:
                self._run_user_code(self._handle_invalid, event)
            if self.stopping and self._depth == 0:
                return

    def _serve_call(self, call: Call) -> None:
        if self._depth >= NESTED_PER_STACK:
            self._serve_on_new_stack(call)
            return
        self._depth += 1
        self._baton.release()
        if self._parked_monitor:
            self._unpark_monitor()
        coroutine = self._answer(call)
        if coroutine is not None:
            self._answer_coroutine(call, coroutine)
        if self._baton.acquire(False):
            self._turn += 1
        else:
            self._take_baton()
        self._depth -= 1

    def _answer_coroutine(self, call: Call, coroutine: CoroutineType[Any, Any, Any]) -> None:
        finished = allocate_lock()
        finished.acquire()
        outcome: list[Any] = []

        def done(value: Any, error: BaseException | None) -> None:
            outcome.extend((value, error))
            finished.release()

        self._start_coroutine(coroutine, done)
        finished.acquire()
        value, error = outcome
        if error is None:
            try:
                self._answer_value(call.id, value, self.calls.encoder)
                return
            except BaseException as failure:
                error = failure
        self._answer_failure(call.id, error)

    def _run_user_code(self, function: Callable[[Any], None], argument: Any) -> None:
        self._drop_baton()
        function(argument)
        self._take_baton()

    def _serve_on_new_stack(self, call: Call) -> None:
        # Imported by this thread and not by the new one, which threading would then take for the main thread.
        import threading

        server, depth = self._server, self._depth

        def serve() -> None:
            self._server, self._depth = get_ident(), 0
            self._serve_call(call)
            # Above this stack there are more: the end of the connection is for the lowest to see.
            self._depth = 1

        thread = threading.Thread(target=serve, name="dspex_erl-nested", daemon=True)
        thread.start()
        thread.join()
        self._server, self._depth = server, depth

    def _wait(self, waiter: Waiter) -> None:
        if get_ident() != self._server:
            waiter.lock.acquire()
            return
        self._take_baton()
        self._serve(waiter)
        self._drop_baton()
        if waiter.answer is None:
            waiter.answer = ConnectionLost("expected an answer from Erlang, got the end of the connection")

    def _take_baton(self) -> None:
        if not self._baton.acquire(False):
            # The flag outlives the byte: the monitor may have eaten it and be back before this thread waits.
            self._wanted = True
            os.write(self._wake_write, b"\0")
            self._baton.acquire()
            self._wanted = False
        self._turn += 1

    def _stalled(self) -> None:
        if not self._baton.acquire(False):
            return
        try:
            if not self._wanted:
                self._read_for_server()
        finally:
            self._baton.release()

    def _read_for_server(self) -> None:
        """Reads, holding the baton, until the server wants it back or the stream ends."""
        import select  # a shared library, which the first answer need not wait for

        self._flush()
        while True:
            # With too much waiting, only the hang-up is looked for.
            waiting = select.POLLIN if len(self._backlog) < BACKLOG else 0
            poll = select.poll()
            poll.register(self._wake_read, select.POLLIN)
            poll.register(self.channel.read_fd, waiting)
            for fd, _ in poll.poll():
                if fd == self._wake_read:
                    os.read(self._wake_read, 4096)
                    return
                if not waiting:
                    self._end_of_stream()
                    return
                if not self._read_one_batch():
                    return

    def _read_one_batch(self) -> bool:
        """Reads once; answers go to those who wait, and all else to the backlog. False when nothing more can be read."""
        try:
            events = self._read()
        except ProtocolError:
            # A frame too long. It is so again when the server reads, which then ends the process.
            return False
        for event in events:
            if type(event) in (Result, Failure) or (type(event) is Invalid and event.kind == "answer"):
                self._deliver(event)  # type: ignore[arg-type]
            else:
                self._backlog.append(event)
        return not self.ended
