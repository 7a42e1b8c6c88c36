"""Frames: a length of 1, 2 or 4 bytes, big-endian, and that many bytes of payload (the ``{packet, N}`` of Erlang's ports).

Sans-IO: :class:`FrameReader` takes bytes in, or lends out the memory into which they go, and cuts frames out of what came. Every byte is
copied at most twice and none is scanned twice, however the stream was split, so the cost is linear in the bytes received. Whole
frames are cut straight out of what was fed; a frame larger than the buffer is received straight into memory of its size, after its
length was checked.
"""

from __future__ import annotations

from dspex_erl.errors import EncodeLimitError, FrameTooLong

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["BUFFER_SIZE", "MAX_FRAME", "NEED_DATA", "FrameReader", "NeedData", "frame_header", "longest_frame"]

BUFFER_SIZE = 65536
"""What a pipe holds on Linux: a larger buffer would not be filled by one read."""

MAX_FRAME = 256 * 1024 * 1024

# Not the module struct: it is a shared library of its own, which a worker's start would have to wait for.
_LONGEST = {packet: (1 << 8 * packet) - 1 for packet in (1, 2, 4)}


class NeedData:
    """The type of :data:`NEED_DATA`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NEED_DATA"


NEED_DATA: Final = NeedData()
"""What a reader returns when the bytes so far hold no whole frame."""


def longest_frame(packet: int) -> int:
    """The greatest length that ``packet`` bytes can say. Raises ``ValueError`` for another ``packet`` than 1, 2 or 4."""
    longest = _LONGEST.get(packet)
    if longest is None:
        raise ValueError(f"expected packet to be 1, 2 or 4, got {packet!r}")
    return longest


def frame_header(length: int, packet: int = 4) -> bytes:
    """The length field of a frame of ``length`` bytes.

    Raises ``EncodeLimitError`` when the length does not fit into ``packet`` bytes, and ``ValueError`` for another ``packet``
    than 1, 2 or 4.

    >>> frame_header(5, packet=2)
    b'\\x00\\x05'
    """
    longest = longest_frame(packet)
    if length > longest:
        raise EncodeLimitError("packet", longest, f"a frame of {length} bytes")
    return length.to_bytes(packet, "big")


class FrameReader:
    """Cuts a stream of bytes into frames.

    ``packet`` is the size of the length field, ``max_frame`` the longest payload accepted, ``buffer_size`` how much to read at
    once. A reader's user either copies bytes in with :meth:`feed`, or fills :meth:`buffer` itself (``os.readv``,
    ``socket.recv_into``) and reports how much with :meth:`received`; then it asks :meth:`next_frame` until that says ``NEED_DATA``.

    >>> reader = FrameReader(packet=1)
    >>> reader.feed(b"\\x02hi\\x03yo")
    >>> reader.next_frame(), reader.next_frame()
    (b'hi', NEED_DATA)
    """

    __slots__ = ("_buffer", "_chunk", "_end", "_large", "_large_filled", "_max_frame", "_packet", "_size", "_start", "_view")

    def __init__(self, packet: int = 4, max_frame: int = MAX_FRAME, buffer_size: int = BUFFER_SIZE) -> None:
        longest_frame(packet)
        self._packet = packet
        self._max_frame = max_frame
        if buffer_size < 1:
            raise ValueError(f"expected buffer_size to be at least 1, got {buffer_size!r}")
        # The buffer must hold a length field and, for the cut-off between small and large frames to move, one byte more. It is
        # made when the first bytes go there, which may be never.
        self._size = max(buffer_size, packet + 1)
        self._buffer = bytearray()
        self._view = memoryview(self._buffer)
        # What was fed last, if nothing was left before it: frames are cut out of it without being copied into the buffer first.
        self._chunk: bytes | None = None
        self._start = 0
        self._end = 0
        self._large: bytearray | None = None
        self._large_filled = 0

    def buffer(self) -> memoryview:
        """Where the next bytes go; never empty. Valid until the next call of any method."""
        if self._chunk is not None:
            self._spill()
        if self._large is not None and self._large_filled < len(self._large):
            return memoryview(self._large)[self._large_filled :]
        if self._start == self._end:
            self._start = self._end = 0
        if self._end == len(self._buffer):
            self._make_room()
        return self._view[self._end :]

    def received(self, count: int) -> None:
        """``count`` bytes were written into :meth:`buffer`."""
        if self._large is not None and self._large_filled < len(self._large):
            self._large_filled += count
        else:
            self._end += count

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Takes any amount of ``data`` in."""
        if self._start == self._end and self._large is None and type(data) is bytes:
            self._chunk, self._start, self._end = data, 0, len(data)
            return
        rest = memoryview(data)
        while rest:
            target = self.buffer()
            count = min(len(target), len(rest))
            target[:count] = rest[:count]
            self.received(count)
            rest = rest[count:]

    def next_frame(self) -> bytes | bytearray | NeedData:
        """The next frame's payload, or ``NEED_DATA``.

        Raises ``FrameTooLong`` when a frame announces more than ``max_frame`` bytes, and again at every later call: nobody can tell
        where the next frame begins.
        """
        start = self._start + self._packet
        if self._large is not None:
            if self._large_filled < len(self._large):
                return NEED_DATA
            frame, self._large = self._large, None
            return frame
        if start > self._end:
            return NEED_DATA
        chunk = self._chunk
        length = int.from_bytes((self._buffer if chunk is None else chunk)[self._start : start], "big")
        # Before all else, so that a frame's fate does not depend on how the stream was cut.
        if length > self._max_frame:
            raise FrameTooLong(length, self._max_frame)
        end = start + length
        if end <= self._end:
            self._start = end
            return bytes(self._view[start:end]) if chunk is None else chunk[start:end]
        if length + self._packet > max(len(self._buffer), self._size):
            self._begin_large(start, length)
        return NEED_DATA

    def frames(self) -> list[bytes | bytearray]:
        """Every whole frame there is, in order: :meth:`next_frame` until it needs data.

        Raises ``FrameTooLong`` only when no frame comes before the one that is too long.
        """
        found: list[bytes | bytearray] = []
        while True:
            try:
                frame = self.next_frame()
            except FrameTooLong:
                if found:
                    return found
                raise
            if frame is NEED_DATA:
                return found
            found.append(frame)  # type: ignore[arg-type]

    def has_frame(self) -> bool:
        """Whether :meth:`next_frame` would return a frame (or raise) without more bytes."""
        if self._large is not None:
            return self._large_filled == len(self._large)
        start = self._start + self._packet
        if start > self._end:
            return False
        length = int.from_bytes((self._buffer if self._chunk is None else self._chunk)[self._start : start], "big")
        return start + length <= self._end or length > self._max_frame

    def pending(self) -> int:
        """How many bytes have come that no frame was made of yet."""
        return self._end - self._start + (self._packet + self._large_filled if self._large is not None else 0)

    def _begin_large(self, start: int, length: int) -> None:
        # bytearray() asks the system for zeroed pages and touches none of them, so an announced length costs address space only.
        self._large = bytearray(length)
        self._large_filled = self._end - start
        source = self._view if self._chunk is None else memoryview(self._chunk)
        self._large[: self._large_filled] = source[start : self._end]
        self._chunk = None
        self._start = self._end = 0

    def _spill(self) -> None:
        """Moves what is left of the chunk into the buffer."""
        chunk, self._chunk = self._chunk, None
        rest = memoryview(chunk)[self._start : self._end]  # type: ignore[arg-type]
        if len(rest) > len(self._buffer):
            self._grow(len(rest))
        self._buffer[: len(rest)] = rest
        self._start, self._end = 0, len(rest)

    def _make_room(self) -> None:
        rest = self._buffer[self._start : self._end]
        if self._start == 0:
            # More than once only for a user who feeds without fetching: otherwise what is left is less than one frame that fits.
            self._grow(len(rest))
        self._buffer[: len(rest)] = rest
        self._start, self._end = 0, len(rest)

    def _grow(self, count: int) -> None:
        """A new buffer, with room for ``count`` bytes and more."""
        self._buffer = bytearray(max(self._size, 2 * count))
        self._view = memoryview(self._buffer)
