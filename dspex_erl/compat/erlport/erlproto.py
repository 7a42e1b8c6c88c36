"""``erlport.erlproto``: one term at a time over a port's two descriptors, for programs that talk to a port of their own.

A worker does not use it: :mod:`dspex_erl.runtime` serves its port. Any thread may read or write; readers take turns, and so do writers.
"""

from __future__ import annotations

import errno
import os
from _thread import allocate_lock

from dspex_erl import compat
from dspex_erl.compat._codec import encode
from dspex_erl.etf import Codec
from dspex_erl.wire.framing import BUFFER_SIZE, NEED_DATA, FrameReader, frame_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Port"]


class Port:
    """A port over the descriptors 0 and 1, over 3 and 4 without ``use_stdio``, or over the two ``descriptors``, to read and to write.

    ``packet`` is the size of the length field, ``compressed`` as in ``erlterms.encode``, and ``buffer_size`` how much to read at once.
    The length of a frame is what ends it: bytes in it after its term are an error.

    Raises ``ValueError`` for another ``packet`` than 1, 2 or 4 and for a ``buffer_size`` below 1.
    """

    def __init__(
        self,
        packet: int = 4,
        use_stdio: bool = True,
        compressed: bool | int = False,
        descriptors: tuple[int, int] | None = None,
        buffer_size: int = BUFFER_SIZE,
    ) -> None:
        self._frames = FrameReader(packet, buffer_size=buffer_size)
        self.packet = packet
        self.compressed = compressed
        self.buffer_size = buffer_size
        self.in_d, self.out_d = descriptors or ((0, 1) if use_stdio else (3, 4))
        self._closed = False
        self._reading = allocate_lock()
        self._writing = allocate_lock()

    def read(self) -> Any:
        """Waits for the next term.

        Raises ``EOFError`` when there will be none, ``OSError`` when reading fails, ``FrameTooLong``, for good, for a frame of more
        than 256 MiB, and ``DecodeError`` for a frame that is not one term; the next can be read all the same.
        """
        with self._reading:
            while (frame := self._frames.next_frame()) is NEED_DATA:
                self._frames.feed(self._receive())
        return Codec(allow_pickle=compat.pickle_allowed).decode(frame)  # type: ignore[arg-type]

    def write(self, term: Any) -> int:
        """Sends ``term``; returns how many bytes that took, the length field included.

        Raises ``EncodeError`` before anything is written, ``EOFError`` when nobody reads any more, and ``OSError`` when writing fails.
        """
        data = encode(term, self.compressed)
        rest = memoryview(frame_header(len(data), self.packet) + data)
        size = len(rest)
        with self._writing:
            while rest:
                rest = rest[self._send(rest) :]
        return size

    def close(self) -> None:
        """Closes both descriptors. From now on :meth:`read` and :meth:`write` raise ``EOFError``; may be called again."""
        if self._closed:
            return
        # First, because the numbers may soon be those of other files.
        self._closed = True
        os.close(self.in_d)
        os.close(self.out_d)

    def _receive(self) -> bytes:
        self._check_open()
        try:
            data = os.read(self.in_d, self.buffer_size)
        except OSError as error:
            raise _translated(error) from error
        if not data:
            raise EOFError("expected a frame, got the end of the stream")
        return data

    def _send(self, data: memoryview) -> int:
        self._check_open()
        try:
            count = os.write(self.out_d, data)
        except OSError as error:
            raise _translated(error) from error
        if not count:
            raise EOFError("expected a peer that reads, got one that takes no more bytes")
        return count

    def _check_open(self) -> None:
        if self._closed:
            raise EOFError("expected an open port, got a closed one")


def _translated(error: OSError) -> EOFError | OSError:
    """``EOFError`` where ``error`` only says that the other side is gone; ``error`` itself otherwise."""
    return EOFError("expected a peer, got a broken pipe") if error.errno == errno.EPIPE else error
