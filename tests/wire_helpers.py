"""Two ends of a connection over a wire that cuts where it likes, and the words in which the tests of the wire say what they expect."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from dspex_erl.errors import DspexError, LocalProtocolError
from dspex_erl.etf import Codec
from dspex_erl.terms import Atom
from dspex_erl.wire import (
    CLOSED,
    ERLANG,
    NEED_DATA,
    PYTHON,
    SHAPES,
    STOPPING,
    Call,
    Connection,
    Event,
    Failure,
    FrameReader,
    HandlerFailure,
    Invalid,
    Message,
    Output,
    Result,
    Send,
    frame_header,
)

ROLES = (ERLANG, PYTHON)
SENT_BY = {role: {event for (sender, _, _), event in SHAPES.items() if sender == role} for role in ROLES}


def peer_of(role: str) -> str:
    return PYTHON if role == ERLANG else ERLANG


def framed(payload: bytes, packet: int = 4) -> bytes:
    return frame_header(len(payload), packet) + payload


def frame_of(term: Any, packet: int = 4) -> bytes:
    """A frame that holds any term, legal as a message or not."""
    return framed(Codec(allow_pickle=True).encode(term), packet)


def frames(reader: FrameReader, at_once: bool = False) -> list[bytes]:
    """Every frame that is whole, fetched one by one or ``at_once``."""
    if at_once:
        return list(map(bytes, reader.frames()))
    found = []
    while (frame := reader.next_frame()) is not NEED_DATA:
        found.append(bytes(frame))  # type: ignore[arg-type]
    return found


def events(connection: Connection, at_once: bool = False) -> list[Event]:
    """Every event that is whole, fetched one by one or ``at_once``."""
    if at_once:
        return connection.events()
    found = []
    while (event := connection.next_event()) is not NEED_DATA:
        found.append(event)
    return found  # type: ignore[return-value]


def call(id: int, *args: Any, role: str = ERLANG) -> Call:
    """A call such as ``role`` may send."""
    return Call(id, Atom("m"), Atom("f"), list(args), None if role == ERLANG else Atom("N"))


def sample(kind: type[Event], role: str, id: int = 1) -> Event:
    """An event of a kind that ``role`` may send."""
    samples: dict[type[Event], Event] = {
        Call: call(id, b"argument", role=role),
        Result: Result(id, b"value"),
        Failure: Failure(id, Atom("reason")),
        HandlerFailure: HandlerFailure(Atom("reason")),
        Message: Message(b"message"),
        Send: Send(Atom("name"), b"message"),
        Output: Output(b"text"),
    }
    return samples[kind]


class ConnectionPair:
    """Both ends of one connection. What an end sends lies on the wire until it is carried to the other, in pieces of any size."""

    def __init__(self, packet: int = 4, at_once: bool = False, **options: Any) -> None:
        codec_options = options.pop("codec", {})
        self.packet = packet
        self.at_once = at_once
        self.ends = {role: Connection(role, Codec(**codec_options), packet=packet, **options) for role in ROLES}
        self.wires = {role: bytearray() for role in ROLES}

    @property
    def erlang(self) -> Connection:
        return self.ends[ERLANG]

    @property
    def python(self) -> Connection:
        return self.ends[PYTHON]

    def post(self, role: str, event: Event) -> int:
        """``role`` sends ``event``, which stays on the wire. Returns the bytes that it takes there."""
        data = b"".join(self.ends[role].send(event))
        self.wires[peer_of(role)] += data
        return len(data)

    def inject(self, role: str, data: bytes) -> None:
        """Puts bytes on the wire to ``role`` that its peer's engine never sent."""
        self.wires[role] += data

    def carry(self, role: str, count: int | None = None) -> list[Event]:
        """Carries ``count`` bytes, or all, to ``role``. Returns what it makes of them."""
        wire = self.wires[role]
        count = len(wire) if count is None else min(count, len(wire))
        data = bytes(wire[:count])
        del wire[:count]
        if self.at_once:
            return self.ends[role].receive(data)
        self.ends[role].feed(data)
        return events(self.ends[role])

    def tell(self, role: str, event: Event) -> Event:
        """``role`` sends ``event``; returns the one event that its peer gets."""
        self.post(role, event)
        (got,) = self.carry(peer_of(role))
        return got

    def inject_term(self, role: str, term: Any) -> Event:
        """``role`` gets a frame with ``term``; returns the one event that it makes of it."""
        self.inject(role, frame_of(term, self.packet))
        (got,) = self.carry(role)
        return got


def in_state(state: str, role: str = PYTHON, **options: Any) -> ConnectionPair:
    """A pair of which ``role`` has one call in flight each way, ids 1, and then came into ``state``."""
    pair = ConnectionPair(**options)
    for sender in ROLES:
        pair.tell(sender, call(1, role=sender))
    if state == STOPPING:
        pair.ends[role].stop()
    elif state == CLOSED:
        pair.ends[role].close()
    return pair


def condition(connection: Connection) -> tuple[Any, ...]:
    """All that a connection shows of itself."""
    return connection.state, connection.calls_in_flight(), connection.pending_bytes(), connection.has_frame()


@contextlib.contextmanager
def unchanged(connection: Connection) -> Iterator[None]:
    """What happens inside must leave the connection as it was."""
    before = condition(connection)
    yield
    assert condition(connection) == before


def assert_refuses(connection: Connection, event: Event) -> None:
    """Sending ``event`` is an illegal step: the error names event, role and state, and nothing changes."""
    with unchanged(connection), pytest.raises(LocalProtocolError) as caught:
        connection.send(event)
    assert_names_the_step(caught.value, connection, f"send {type(event).__name__}")


def assert_names_the_step(error: DspexError, connection: Connection, step: str) -> None:
    text = str(error)
    assert step in text, text
    assert connection.role in text, text
    assert connection.state in text, text
    assert text.startswith("expected "), text
    assert ", got " in text, text


def assert_invalid(event: Event, kind: str, id: int | None, error: type[DspexError], *mentions: str) -> None:
    """``event`` is an Invalid that says whom it concerns and what was wrong."""
    assert isinstance(event, Invalid), event
    assert (event.kind, event.id) == (kind, id)
    assert isinstance(event.error, error), repr(event.error)
    text = str(event.error)
    for mention in ("expected ", ", got ", *mentions):
        assert mention in text, text


def assert_in_flight(connection: Connection, received: set[int], sent: set[int]) -> None:
    assert connection.calls_in_flight() == (frozenset(received), frozenset(sent))


def assert_usable(pair: ConnectionPair) -> None:
    """Both directions still carry a call and its answer, and what was in flight is as it was."""
    before = {role: pair.ends[role].calls_in_flight() for role in ROLES}
    id = 987_654_321
    for role in ROLES:
        asked = call(id, role=role)
        got = pair.tell(role, asked)
        assert isinstance(got, Call), got
        assert got.id == id
        assert pair.tell(peer_of(role), Result(id, 5)) == Result(id, 5)
    assert {role: pair.ends[role].calls_in_flight() for role in ROLES} == before
