"""Schedulers over real pipes, stepped by hand, so that a race has the same outcome every time."""

import os
import select
from collections.abc import Callable
from typing import Any

from dspex_erl.etf import Codec
from dspex_erl.runtime.calls import Calls
from dspex_erl.runtime.channel import Channel
from dspex_erl.wire import ERLANG, PYTHON, Connection, Event


class Ends:
    """Both ends of a channel: the worker's, and the peer's with its engine."""

    def __init__(self) -> None:
        self._their_read, self._write = os.pipe()
        self._read, self._their_write = os.pipe()
        self.peer = Connection(ERLANG, Codec())
        self.channel = Channel(Connection(PYTHON, Codec()), self._their_read, self._their_write)
        self.calls = Calls()

    def __enter__(self) -> "Ends":
        return self

    def __exit__(self, *_: object) -> None:
        for fd in (self._their_read, self._write, self._read, self._their_write):
            os.close(fd)

    def post(self, *events: Event) -> None:
        """The peer sends ``events``, in one piece."""
        os.write(self._write, b"".join(part for event in events for part in self.peer.send(event)))

    def came(self) -> list[Event]:
        """What has been written for the peer by now."""
        if not select.select([self._read], [], [], 0)[0]:
            return []
        return self.peer.receive(os.read(self._read, 65536))


class FaultLock:
    """A lock with a fault point: ``before_waiting`` runs once, when somebody is about to wait for it."""

    def __init__(self, lock: Any, before_waiting: Callable[[], None]) -> None:
        self._lock = lock
        self._before_waiting: Callable[[], None] | None = before_waiting
        self.release = lock.release
        self.locked = lock.locked

    def acquire(self, blocking: bool = True) -> bool:
        if blocking and self._before_waiting is not None:
            run, self._before_waiting = self._before_waiting, None
            run()
        taken: bool = self._lock.acquire(blocking)
        return taken
