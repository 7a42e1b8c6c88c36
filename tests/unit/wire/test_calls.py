"""The short way for plain calls, in both implementations, and that it comes to the same as the long one."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from dspex_erl.errors import FrameTooLong
from dspex_erl.etf import Codec
from dspex_erl.terms import Atom, ByteAtom, ImproperList, List
from dspex_erl.wire import ERLANG, PYTHON, Call, Connection, Event, Message, Result, _calls
from tests.coders import Coder
from tests.wire_helpers import call, events, frame_of, framed

CALL = (Atom("C"), 1, Atom("m"), Atom("f"), [1, b"two"])
PACKETS = pytest.mark.parametrize("packet", [1, 2, 4])


@pytest.fixture
def take_calls(coder: Coder) -> Callable[..., tuple[list[Call], int]]:
    """Each implementation that was built."""
    if coder.name == "pure":
        return _calls._take_calls
    from dspex_erl.etf import _speedups

    return _speedups.take_calls


def take(function: Callable[..., Any], data: bytes, packet: int = 4, max_frame: int = 1000, **options: Any) -> Any:
    in_flight = options.pop("in_flight", set())
    return function(Codec(**options).decode, data, packet, max_frame, in_flight, Call)


@PACKETS
@pytest.mark.parametrize("mapping", ["bytes", "str"])
def test_calls_are_taken(take_calls: Any, packet: int, mapping: str) -> None:
    in_flight = {7}
    data = b"".join(frame_of((Atom("C"), id, Atom("m"), Atom("f"), [id]), packet) for id in (1, 2**70, -3))
    found, taken = take(take_calls, data, packet, strings=mapping, in_flight=in_flight)
    assert taken == len(data)
    assert [(event.id, event.args) for event in found] == [(1, [1]), (2**70, [2**70]), (-3, [-3])]
    kind = ByteAtom if mapping == "bytes" else Atom
    assert {type(name) for event in found for name in (event.module, event.function)} == {kind}
    assert all(event.context is None for event in found)
    assert in_flight == {7, 1, 2**70, -3}


def test_names_that_latin_1_cannot_write_are_taken(take_calls: Any) -> None:
    (found,), _ = take(take_calls, frame_of((Atom("C"), 1, Atom("日"), Atom("f"), [])))
    assert found.module.name == "日"


def test_what_was_read_may_be_empty(take_calls: Any) -> None:
    assert take(take_calls, b"") == ([], 0)


@pytest.mark.parametrize("count", [0, 5, 7])
def test_it_takes_six_arguments(take_calls: Any, count: int) -> None:
    with pytest.raises(TypeError):
        take_calls(*[None] * count)


@pytest.mark.parametrize("size", range(5))
def test_a_header_that_is_cut_is_left(take_calls: Any, size: int) -> None:
    frame = frame_of(CALL)
    found, taken = take(take_calls, frame + frame[:size])
    assert (len(found), taken) == (1, len(frame))


@PACKETS
def test_a_frame_that_is_cut_is_left(take_calls: Any, packet: int) -> None:
    frame = frame_of(CALL, packet)
    for size in range(len(frame)):
        in_flight: set[int] = set()
        assert take(take_calls, frame[:size], packet, in_flight=in_flight) == ([], 0)
        assert in_flight == set()


def test_a_frame_too_long_is_left(take_calls: Any) -> None:
    frame = frame_of(CALL)
    size = len(frame) - 4
    assert take(take_calls, frame, max_frame=size)[1] == len(frame)
    assert take(take_calls, frame, max_frame=size - 1) == ([], 0)
    assert take(take_calls, b"\xff\xff\xff\xff" + frame) == ([], 0)


UNUSUAL = {
    "another message": (Atom("M"), 1),
    "a result": (Atom("r"), 1, 2),
    "no tuple": [Atom("C"), 1, Atom("m"), Atom("f"), []],
    "nothing": (),
    "a shorter tuple": CALL[:4],
    "a longer tuple": (*CALL, Atom("N")),
    "another tag": (Atom("D"), *CALL[1:]),
    "a longer tag": (Atom("CC"), *CALL[1:]),
    "a wide tag": (Atom("日"), *CALL[1:]),
    "a tag that is a binary": (b"C", *CALL[1:]),
    "an id that is a float": (Atom("C"), 1.0, *CALL[2:]),
    "an id that is an atom": (Atom("C"), True, *CALL[2:]),
    "an id in flight": (Atom("C"), 7, *CALL[2:]),
    "a module that is a binary": (*CALL[:2], b"m", *CALL[3:]),
    "a function that is a binary": (*CALL[:3], b"f", []),
    "arguments that are a binary": (*CALL[:4], b""),
    "arguments that are improper": (*CALL[:4], ImproperList([1], 2)),
}


@pytest.mark.parametrize("mapping", ["bytes", "str"])
@pytest.mark.parametrize("name", UNUSUAL)
def test_whatever_is_unusual_ends_the_run(take_calls: Any, name: str, mapping: str) -> None:
    usual, unusual = frame_of(CALL), frame_of(UNUSUAL[name])
    in_flight = {7}
    found, taken = take(take_calls, usual + unusual + usual, strings=mapping, in_flight=in_flight)
    assert (len(found), taken) == (1, len(usual))
    assert in_flight == {7, 1}


@pytest.mark.parametrize("payload", [b"", b"\x83", b"\x83h\x05d", b"hello"], ids=repr)
def test_what_cannot_be_decoded_ends_the_run(take_calls: Any, payload: bytes) -> None:
    usual = frame_of(CALL)
    assert take(take_calls, usual + framed(payload) + usual)[1] == len(usual)


@PACKETS
@pytest.mark.parametrize("role", [PYTHON, ERLANG])
@pytest.mark.parametrize("seed", range(20))
def test_receiving_is_feeding_and_asking(seed: int, role: str, packet: int) -> None:
    """The same stream, cut at the same places: once by the short way, once by the long one."""
    chance = random.Random(seed)
    frames = [frame_of(chance.choice([CALL, *UNUSUAL.values()]), packet) for _ in range(30)]
    frames += [frame_of((Atom("C"), id, Atom("m"), Atom("f"), List([id])), packet) for id in range(10, 40)]
    chance.shuffle(frames)
    stream = b"".join(frames)
    short, long = Connection(role, Codec(), packet=packet), Connection(role, Codec(), packet=packet)
    while stream:
        size = chance.choice([1, 10, 100, 1000])
        long.feed(stream[:size])
        assert described(short.receive(stream[:size])) == described(events(long))
        stream = stream[size:]
        assert short.calls_in_flight() == long.calls_in_flight()
        assert short.pending_bytes() == long.pending_bytes()


def described(found: list[Event]) -> list[str]:
    """Events in words: those that say what was wrong hold errors, which are equal to themselves only."""
    return list(map(repr, found))


def test_calls_before_a_frame_too_long_come_first() -> None:
    connection = Connection(PYTHON, Codec(), max_frame=100)
    (first,) = connection.receive(frame_of(CALL) + b"\0\0\0\x65")
    assert isinstance(first, Call)
    for _ in range(2):
        with pytest.raises(FrameTooLong):
            connection.events()


def test_a_frame_too_long_that_comes_alone_is_refused() -> None:
    connection = Connection(PYTHON, Codec(), max_frame=100)
    with pytest.raises(FrameTooLong):
        connection.receive(b"\0\0\0\x65")


@pytest.mark.parametrize("max_frame", [2**32, 2**70])
def test_the_limit_may_be_greater_than_any_length(max_frame: int) -> None:
    (event,) = Connection(PYTHON, Codec(), max_frame=max_frame).receive(frame_of(CALL))
    assert isinstance(event, Call)


def test_no_call_is_taken_from_a_connection_that_is_closed() -> None:
    connection = Connection(PYTHON, Codec())
    connection.close()
    (event,) = connection.receive(frame_of(CALL))
    assert not isinstance(event, Call)
    assert connection.calls_in_flight() == (frozenset(), frozenset())


def test_calls_and_answers_go_on_after_the_rest_of_a_frame() -> None:
    erlang, python = Connection(ERLANG, Codec()), Connection(PYTHON, Codec())
    stream = b"".join(b"".join(erlang.send(event)) for event in (call(1), Message(b"hello"), call(2)))
    found = [event for cut in range(0, len(stream), 7) for event in python.receive(stream[cut : cut + 7])]
    assert list(map(type, found)) == [Call, Message, Call]
    assert erlang.receive(b"".join(python.send(Result(2, 5)))) == [Result(2, 5)]
