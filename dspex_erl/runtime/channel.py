"""A connection over two file descriptors: where the worker reads and writes its frames.

Reading is for whoever holds the scheduler's baton, one thread at a time; sending is for any thread. Answers may be held back for a moment
so that many leave in one ``writev``; nothing is held for longer than :data:`HOLD_SECONDS` while calls are short, and the scheduler
flushes as soon as one is not.
"""

from __future__ import annotations

import os
from _thread import allocate_lock
from time import monotonic

from dspex_erl.errors import ConnectionLost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dspex_erl.wire import Connection, Event, NeedData

__all__ = ["Channel"]

HOLD_SECONDS = 0.0005
"""How long an answer may wait for the next one, so that both leave in one system call."""

HOLD_BYTES = 32768
"""How much may wait; half of what a pipe holds."""

_IOV_MAX = 512
"""How many pieces go into one ``writev``; Linux takes 1024."""


class Channel:
    """``connection`` over the descriptors ``read_fd`` and ``write_fd``, which must be blocking."""

    def __init__(self, connection: Connection, read_fd: int, write_fd: int) -> None:
        self.connection = connection
        self.read_fd = read_fd
        self.write_fd = write_fd
        self._lock = allocate_lock()
        self._held: list[bytes | memoryview] = []
        self._held_bytes = 0
        self._held_since = 0.0
        self._lost = False

    def next_event(self) -> Event | NeedData:
        """The next event out of what was read, as :meth:`dspex_erl.wire.Connection.next_event`."""
        return self.connection.next_event()

    def read(self) -> int:
        """Waits for bytes and takes them in. Returns how many; 0 when the peer has closed the stream."""
        try:
            count = os.readv(self.read_fd, [self.connection.buffer()])
        except OSError:
            # Whatever the reason, nothing will come any more: EIO and ECONNRESET are how a terminal and a socket say goodbye.
            count = 0
        self.connection.received(count)
        return count

    def send(self, event: Event) -> None:
        """Sends ``event``, and with it everything held back.

        Raises what :meth:`dspex_erl.wire.Connection.send` raises, before anything was written, and ``ConnectionLost``.
        """
        parts = self.connection.send(event)
        with self._lock:
            self._hold(parts)
            self._write_held()

    def send_soon(self, event: Event) -> None:
        """Like :meth:`send`, for a caller that promises to :meth:`flush` before it waits for anything."""
        parts = self.connection.send(event)
        with self._lock:
            self._hold(parts)
            if self._held_bytes >= HOLD_BYTES or monotonic() - self._held_since >= HOLD_SECONDS:
                self._write_held()

    def flush(self) -> None:
        """Writes what is held back. Raises ``ConnectionLost``."""
        if self._held:
            with self._lock:
                self._write_held()

    def _hold(self, parts: list[bytes | memoryview]) -> None:
        if not self._held:
            self._held_since = monotonic()
        self._held += parts
        for part in parts:
            self._held_bytes += len(part)

    def _write_held(self) -> None:
        parts, self._held, self._held_bytes = self._held, [], 0
        if self._lost:
            raise ConnectionLost("expected a peer that reads, got a closed connection")
        try:
            if len(parts) == 1:
                written = os.write(self.write_fd, parts[0])
                if written < len(parts[0]):
                    self._write_all([memoryview(parts[0])[written:]])
            elif parts:
                self._write_all(parts)
        except OSError as error:
            self._lost = True
            raise ConnectionLost("expected a peer that reads, got a closed connection") from error

    def _write_all(self, parts: list[bytes | memoryview]) -> None:
        start = 0
        while start < len(parts):
            written = os.writev(self.write_fd, parts[start : start + _IOV_MAX])
            while start < len(parts) and written >= len(parts[start]):
                written -= len(parts[start])
                start += 1
            if written:
                parts[start] = memoryview(parts[start])[written:]
