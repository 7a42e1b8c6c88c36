"""A connection over two file descriptors: where the worker reads and writes its frames.

Reading is for whoever holds the scheduler's baton, one thread at a time; sending is for any thread. Answers may be held back for a moment
so that many leave in one ``writev``; nothing is held for longer than :data:`HOLD_SECONDS` while calls are short, and the scheduler
flushes as soon as one is not.
"""

from __future__ import annotations

import os
from _thread import allocate_lock
from time import monotonic

from dspex_erl.errors import ConnectionLost, LocalProtocolError
from dspex_erl.wire import BUFFER_SIZE, CLOSED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from dspex_erl.wire import Connection, Event

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
        #: What waits to be sent with the next answer, or by :meth:`flush`.
        self.held: list[bytes | memoryview] = []
        self._held_bytes = 0
        self._held_since = 0.0
        self._first = True
        #: Whether the peer has stopped reading.
        self.lost = False

    def receive(self) -> list[Event] | None:
        """Waits for bytes and returns the events that are whole by then: maybe none, and ``None`` when the peer has closed the stream.

        Raises ``FrameTooLong``, for good, once the frame that is too long is the next one.
        """
        connection = self.connection
        self._first = True
        try:
            if not connection.pending_bytes():
                data = os.read(self.read_fd, BUFFER_SIZE)
                return connection.receive(data) if data else None
            # A frame whose length is too long counts as one that is there: no read is waited for before that is said.
            if not connection.has_frame():
                # Part of a frame is there, and the rest of it goes where that is.
                count = os.readv(self.read_fd, [connection.buffer()])
                if not count:
                    return None
                connection.received(count)
        except OSError:
            # Whatever the reason, nothing will come any more: EIO and ECONNRESET are how a terminal and a socket say goodbye.
            return None
        return connection.events()

    def send(self, event: Event) -> None:
        """Sends ``event``, and with it everything held back.

        Raises what :meth:`dspex_erl.wire.Connection.send` raises, before anything was written, and ``ConnectionLost``.
        """
        try:
            parts = self.connection.send(event)
        except LocalProtocolError as error:
            self._refuse(error)
        with self._lock:
            if self.held or len(parts) > 1 or self.lost:
                self.held += parts
                self._held_bytes += sum(map(len, parts))
                self._write_held()
                return
            data = parts[0]
            try:
                written = os.write(self.write_fd, data)
                if written < len(data):
                    self._write_all([memoryview(data)[written:]])
            except OSError as error:
                self._lose(error)

    def send_soon(self, event: Event) -> None:
        """Like :meth:`send`, for a caller that promises to :meth:`flush` before it waits for anything.

        The first event after a read leaves at once all the same: the peer may be asleep, and so wakes up while the next are made.
        """
        if self._first:
            self._first = False
            self.send(event)
            return
        try:
            parts = self.connection.send(event)
        except LocalProtocolError as error:
            self._refuse(error)
        now = monotonic()
        with self._lock:
            if not self.held:
                self._held_since = now
            self.held += parts
            self._held_bytes += len(parts[0]) if len(parts) == 1 else sum(map(len, parts))
            if self._held_bytes >= HOLD_BYTES or now - self._held_since >= HOLD_SECONDS:
                self._write_held()

    def flush(self) -> None:
        """Writes what is held back. Raises ``ConnectionLost``."""
        if self.held:
            with self._lock:
                self._write_held()

    def _refuse(self, error: LocalProtocolError) -> NoReturn:
        if self.connection.state == CLOSED:
            raise ConnectionLost("expected a peer that listens, got a closed connection") from error
        raise error

    def _write_held(self) -> None:
        parts, size = self.held, self._held_bytes
        self.held, self._held_bytes = [], 0
        if self.lost:
            raise ConnectionLost("expected a peer that reads, got a closed connection")
        try:
            if size < 2 * HOLD_BYTES:
                # Copying so little costs less than telling the system of so many pieces.
                parts = [b"".join(parts)]
            self._write_all(parts)
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> NoReturn:
        self.lost = True
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
