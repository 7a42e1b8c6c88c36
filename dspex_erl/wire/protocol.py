"""ErlPort's protocol as a machine without I/O: bytes in, events out; events in, bytes out.

Two rules hold the page together. Every shape that a message may have is a row of :data:`SHAPES`, and every step that a connection may
take is a row of :data:`STEPS`; what is in neither table is illegal, changes nothing, and is named with its event, role and state. The
pictures in ``docs/architecture.md`` are drawn from these tables.

A connection may have any number of calls in flight in both directions, answered in any order. An identifier that is in flight
belongs to one call; it is free again once answered, and the two directions count apart.

One thread at a time may use the receiving half (:meth:`Connection.buffer` to :meth:`Connection.next_event`) and one, which may be
another, the sending half (:meth:`Connection.send`).

Nearly everything that a worker sees is a plain call and its result, so these two have a short way through: :meth:`Connection.receive` lets
:mod:`~dspex_erl.wire._calls` take the plain calls off what was read, and :meth:`Connection.send` knows a result when it sees one. All
else goes the long way, with the same outcome.
"""

from __future__ import annotations

from dspex_erl.errors import CodecError, DspexError, FrameTooLong, LocalProtocolError, RemoteProtocolError
from dspex_erl.terms import Atom, ByteAtom, ImproperList
from dspex_erl.wire._calls import ATOMS, LISTS, take_calls
from dspex_erl.wire.events import (
    Call,
    Event,
    Failure,
    HandlerFailure,
    Invalid,
    Message,
    Output,
    Result,
    Send,
)
from dspex_erl.wire.framing import BUFFER_SIZE, MAX_FRAME, NEED_DATA, FrameReader, NeedData, frame_header, longest_frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dspex_erl.etf import Codec

__all__ = ["CLOSED", "ERLANG", "OPEN", "PYTHON", "SHAPES", "STEPS", "STOPPING", "Connection"]

PYTHON = "python"
ERLANG = "erlang"

#: Who may send which tuple: (role of the sender, tag, arity) -> event.
SHAPES: dict[tuple[str, str, int], type[Event]] = {
    (ERLANG, "C", 5): Call,
    (ERLANG, "M", 2): Message,
    (ERLANG, "r", 3): Result,
    (ERLANG, "e", 3): Failure,
    (PYTHON, "C", 6): Call,
    (PYTHON, "M", 3): Send,
    (PYTHON, "r", 3): Result,
    (PYTHON, "e", 3): Failure,
    (PYTHON, "e", 2): HandlerFailure,
    (PYTHON, "P", 2): Output,
}

OPEN = "open"
STOPPING = "stopping"
CLOSED = "closed"

#: (state, step) -> state. A step is ``send X`` or ``receive X`` for an event X, or one of ``stop`` and ``close``.
#: Once stopping, a side takes on nothing new, but finishes what runs: that may ask the peer for more, and gets its answers.
STEPS: dict[tuple[str, str], str] = {
    **{(OPEN, f"receive {event.__name__}"): OPEN for event in (Call, Result, Failure, Message, Send, Output, HandlerFailure)},
    **{(OPEN, f"send {event.__name__}"): OPEN for event in (Call, Result, Failure, Message, Send, Output, HandlerFailure)},
    **{
        (STOPPING, f"receive {event.__name__}"): STOPPING
        for event in (Call, Result, Failure, Message, Send, Output, HandlerFailure)
    },
    **{(STOPPING, f"send {event.__name__}"): STOPPING for event in (Call, Result, Failure, Send, Output, HandlerFailure)},
    (OPEN, "stop"): STOPPING,
    (STOPPING, "stop"): STOPPING,
    (OPEN, "close"): CLOSED,
    (STOPPING, "close"): CLOSED,
    (CLOSED, "close"): CLOSED,
}

_ID_BYTES = 80
"""How much of a frame is looked at to find the identifier of a call that cannot be decoded: a 128-bit one takes 19."""

_COMPRESSED = b"P"

_ANSWERS = (Result, Failure)


def _receivable(state: str, sender: str) -> dict[tuple[Any, int], type[Event]]:
    """The shapes that may come from ``sender`` in ``state``: both tables in one, as it is asked for on every frame.

    An atom of either mapping finds its shape; so would a binary that equals it, which is why its type is looked at, too.
    """
    return {
        (kind(tag), arity): event
        for (role, tag, arity), event in SHAPES.items()
        if role == sender and (state, f"receive {event.__name__}") in STEPS
        for kind in (Atom, ByteAtom)
    }


def _sendable(state: str, sender: str) -> dict[type[Event], tuple[Atom, int]]:
    """The tag and the arity of each event that ``sender`` may send in ``state``."""
    return {
        event: (Atom(tag), arity)
        for (role, tag, arity), event in SHAPES.items()
        if role == sender and (state, f"send {event.__name__}") in STEPS
    }


class Connection:
    """One end of a connection.

    ``role`` is the side that this end plays, :data:`PYTHON` or :data:`ERLANG`; ``codec`` turns payloads into terms and back;
    ``packet``, ``max_frame`` and ``buffer_size`` are those of :class:`~dspex_erl.wire.framing.FrameReader`.

    >>> from dspex_erl.etf import Codec
    >>> erlang, python = Connection(ERLANG, Codec()), Connection(PYTHON, Codec())
    >>> python.feed(b"".join(erlang.send(Call(1, ByteAtom(b"math"), ByteAtom(b"sqrt"), [16]))))
    >>> call = python.next_event()
    >>> erlang.feed(b"".join(python.send(Result(call.id, 4.0))))
    >>> erlang.next_event()
    Result(1, 4.0)
    """

    def __init__(
        self,
        role: str,
        codec: Codec,
        *,
        packet: int = 4,
        max_frame: int = MAX_FRAME,
        buffer_size: int = BUFFER_SIZE,
    ) -> None:
        if role not in (PYTHON, ERLANG):
            raise ValueError(f"expected role to be {PYTHON!r} or {ERLANG!r}, got {role!r}")
        self.role = role
        self._peer = ERLANG if role == PYTHON else PYTHON
        self._codec = codec
        self._packet = packet
        # No longer than a header can say, which any implementation of take_calls() can count.
        self._max_frame = max(0, min(max_frame, longest_frame(packet)))
        self._joined = min(longest_frame(packet), BUFFER_SIZE - 1)
        self._reader = FrameReader(packet, max_frame, buffer_size)
        self.buffer = self._reader.buffer
        self.received = self._reader.received
        self.feed = self._reader.feed
        self.has_frame = self._reader.has_frame
        self.pending_bytes = self._reader.pending
        self._enter(OPEN)
        self._received_calls: set[int] = set()
        self._sent_calls: set[int] = set()
        self._last_id = 0

    # -- receiving ---------------------------------------------------------------------------------------------------------------

    def next_event(self) -> Event | NeedData:
        """The next event out of the bytes received, or ``NEED_DATA``.

        A frame that is no legal event comes as :class:`~dspex_erl.wire.events.Invalid`, and the connection goes on. Raises
        ``FrameTooLong``, for good, when a frame's length is beyond ``max_frame``.
        """
        frame = self._reader.next_frame()
        return NEED_DATA if frame is NEED_DATA else self._events([frame])[0]  # type: ignore[list-item]

    def events(self) -> list[Event]:
        """Every event out of the bytes received, as :meth:`next_event` would return them one by one.

        Raises ``FrameTooLong``, for good, once the frame that is too long is the next one.
        """
        return self._events(self._reader.frames())

    def receive(self, data: bytes) -> list[Event]:
        """Takes ``data`` in and returns every event that is whole by now: ``feed`` and then :meth:`events`, in one go.

        Raises ``FrameTooLong``, for good, once the frame that is too long is the next one.
        """
        reader = self._reader
        if not self._takes_calls or reader.pending():
            reader.feed(data)
            return self.events()
        found, taken = take_calls(self._codec.decode, data, self._packet, self._max_frame, self._received_calls, Call)
        if taken < len(data):
            reader.feed(data[taken:])
            try:
                found += self.events()
            except FrameTooLong:
                # To be said again when it is the next one.
                if not found:
                    raise
        return found

    def _events(self, frames: list[bytes | bytearray]) -> list[Event]:
        decode, receivable, calls = self._codec.decode, self._receivable, self._received_calls
        found: list[Event] = []
        for frame in frames:
            try:
                term = decode(frame)
            except CodecError as error:
                found.append(self._undecodable(frame, error))
                continue
            if type(term) is not tuple or not term or type(term[0]) not in ATOMS:
                found.append(self._illegal(term))
                continue
            shape = receivable.get((term[0], len(term)))
            if shape is Call:
                call = Call(*term[1:])
                id = call.id
                usual = type(call.module) in ATOMS and type(call.function) in ATOMS and type(call.args) in LISTS
                if usual and type(id) is int and id not in calls:
                    calls.add(id)
                    found.append(call)
                else:
                    found.append(self._unusual_call(call))
            elif shape is Result or shape is Failure:
                found.append(self._received_answer(shape(*term[1:])))
            else:
                found.append(self._illegal(term) if shape is None else shape(*term[1:]))
        return found

    def _unusual_call(self, call: Call) -> Event:
        """A call with a subclass of what is expected, or with something else, of which its caller is told if it can be."""
        id = call.id
        if type(id) is not int:
            return Invalid("frame", None, RemoteProtocolError(f"expected a call's id to be an integer, got {_kind(id)}"))
        if id in self._received_calls:
            # Not to be answered: the answer would be taken for that of the first call of this id.
            return Invalid("frame", None, RemoteProtocolError("expected a call with an id of its own, got one that is in flight"))
        self._received_calls.add(id)
        for what, value in (("module", call.module), ("function", call.function)):
            if not isinstance(value, (Atom, ByteAtom)):
                return Invalid("call", call.id, RemoteProtocolError(f"expected a call's {what} to be an atom, got {_kind(value)}"))
        if not isinstance(call.args, list) or isinstance(call.args, ImproperList):
            got = _kind(call.args)
            return Invalid("call", call.id, RemoteProtocolError(f"expected a call's arguments as a proper list, got {got}"))
        return call

    def _received_answer(self, answer: Result | Failure) -> Event:
        # `1.0` and `true` are equal to 1 in Python, and not in Erlang.
        if type(answer.id) is not int or answer.id not in self._sent_calls:
            return Invalid("frame", None, RemoteProtocolError("expected an answer to a call in flight, got one with an unknown id"))
        self._sent_calls.remove(answer.id)
        return answer

    def _illegal(self, term: Any) -> Event:
        """A term that is no message. If it was meant as a call or an answer, somebody is waiting."""
        error = RemoteProtocolError(f"expected a message that {self._peer} may send, got {_kind(term)} in state {self.state}")
        if isinstance(term, tuple) and len(term) > 1:
            return self._concerning(_text(term[0]), term[1], error)
        return Invalid("frame", None, error)

    def _undecodable(self, frame: bytes | bytearray, error: CodecError) -> Event:
        """Finds out whom a frame that cannot be decoded was meant for; it reads no more than a few bytes."""
        head = bytes(frame[:_ID_BYTES])
        if head[1:2] == _COMPRESSED:
            head = _inflated_head(frame)
        start = {104: 3, 105: 6}.get(head[1], 0) if len(head) > 2 else 0
        try:
            tag, end = self._codec.decode_from(b"\x83" + head[start:])
            id, _ = self._codec.decode_from(b"\x83" + head[start - 1 + end :])
        except CodecError:
            tag = id = None
        return self._concerning(_text(tag), id, error) if start else Invalid("frame", None, error)

    def _concerning(self, tag: str, id: Any, error: DspexError) -> Event:
        if type(id) is int and self.state != CLOSED:
            if tag == "C" and id not in self._received_calls:
                self._received_calls.add(id)
                return Invalid("call", id, error)
            if tag in ("r", "e") and id in self._sent_calls:
                self._sent_calls.remove(id)
                return Invalid("answer", id, error)
        return Invalid("frame", None, error)

    # -- sending -----------------------------------------------------------------------------------------------------------------

    def send(self, event: Event) -> list[bytes | memoryview]:
        """The bytes that tell the peer of ``event``: a list for ``writev``, in which a large binary is not copied.

        Raises ``EncodeError`` when a value has no Erlang counterpart or the frame would not fit, and ``LocalProtocolError`` for an
        event that this role, state or identifier does not allow. Either way nothing has changed, and the call that ``event`` was to
        answer still waits for an answer.
        """
        kind = type(event)
        row = self._sendable.get(kind)
        if row is None:
            raise LocalProtocolError(self._refusal(f"send {kind.__name__}"))
        if kind is Result:
            id = event.id  # type: ignore[attr-defined]
            message: tuple[Any, ...] = (row[0], id, event.value)  # type: ignore[attr-defined]
        else:
            message = (row[0], *event.fields()[: row[1] - 1])
            id = message[1]
        answered = self._received_calls if kind in _ANSWERS else None
        if answered is not None:
            if type(id) is not int or id not in answered:
                raise LocalProtocolError(self._refusal(f"send {kind.__name__}", "the id of no call in flight"))
        elif kind is Call and (type(id) is not int or id in self._sent_calls):
            raise LocalProtocolError(self._refusal("send Call", "an id that is in flight or no integer"))
        try:
            parts = self._codec.encode_iovec(message)
        except CodecError as error:
            error.path = _within_field(error.path)
            raise
        first = parts[0]
        length = len(first)
        if len(parts) == 1 and length <= self._joined:
            # One piece and one system call; a larger one is not worth the copy.
            parts[0] = length.to_bytes(self._packet, "big") + first
        else:
            parts.insert(0, frame_header(sum(map(len, parts)), self._packet))
        if answered is not None:
            answered.discard(id)
        elif kind is Call:
            self._sent_calls.add(id)
        return parts

    def new_id(self) -> int:
        """An identifier for a call of ours that no call in flight has."""
        self._last_id += 1
        return self._last_id

    def calls_in_flight(self) -> tuple[frozenset[int], frozenset[int]]:
        """The identifiers of the calls received and not answered yet, and of the calls sent and not answered yet."""
        return frozenset(self._received_calls), frozenset(self._sent_calls)

    # -- the connection itself ---------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Begin nothing new. Calls that still come are received, for the owner to refuse. Raises ``LocalProtocolError`` if closed."""
        self._step("stop")

    def close(self) -> None:
        """The stream ended: what is in flight will never be answered. May be called again."""
        self._step("close")

    def _step(self, step: str) -> None:
        state = STEPS.get((self.state, step))
        if state is None:
            raise LocalProtocolError(self._refusal(step))
        self._enter(state)

    def _enter(self, state: str) -> None:
        self.state = state
        self._receivable = _receivable(state, self._peer)
        self._sendable = _sendable(state, self.role)
        self._takes_calls = self._receivable.get((Atom("C"), 5)) is Call

    def _refusal(self, step: str, detail: str = "") -> str:
        got = f"{step!r} with {detail}" if detail else repr(step)
        return f"expected a step that {self.role} may take in state {self.state}, got {got}"


def _inflated_head(frame: bytes | bytearray) -> bytes:
    """The first bytes of a compressed frame; fewer, or none, if it is broken."""
    import zlib

    try:
        return b"\x83" + zlib.decompressobj().decompress(memoryview(frame)[6:], _ID_BYTES)
    except zlib.error:
        return b""


def _text(atom: Any) -> str:
    """The name of an atom of either mapping; empty for anything else."""
    if isinstance(atom, (Atom, ByteAtom)):
        return atom.name
    return ""


def _within_field(path: str) -> str:
    """A path inside a message, ``$[2]['a']``, as one inside its field, ``$['a']``: who sent the field knows nothing of messages."""
    return "$" + path[path.find("]") + 1 :]


def _kind(term: Any) -> str:
    """What a term is, without saying what is in it."""
    if isinstance(term, tuple):
        return f"a tuple of {len(term)}"
    name = type(term).__name__
    return f"{'an' if name[0] in 'AEIOaeio' else 'a'} {name}"
