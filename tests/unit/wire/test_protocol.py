"""The protocol's two tables, seen from both ends: what may be sent, what comes of it, and what bad input gets."""

import struct
import zlib
from typing import Any

import pytest

from dspex_erl.errors import (
    CodecError,
    DecodeError,
    EncodeError,
    EncodeLimitError,
    FrameTooLong,
    LocalProtocolError,
    RemoteProtocolError,
)
from dspex_erl.etf import Codec
from dspex_erl.terms import Atom, ByteAtom, ImproperList
from dspex_erl.wire import (
    CLOSED,
    ERLANG,
    NEED_DATA,
    OPEN,
    PYTHON,
    SHAPES,
    STEPS,
    STOPPING,
    Call,
    Connection,
    Event,
    Failure,
    HandlerFailure,
    Invalid,
    Message,
    Output,
    Result,
    Send,
)
from tests.wire_helpers import (
    ROLES,
    SENT_BY,
    ConnectionPair,
    assert_in_flight,
    assert_invalid,
    assert_names_the_step,
    assert_refuses,
    assert_usable,
    call,
    events,
    frame_of,
    framed,
    in_state,
    peer_of,
    sample,
    unchanged,
)

EVENTS = [Call, Result, Failure, HandlerFailure, Message, Send, Output]
STATES = [OPEN, STOPPING, CLOSED]
MARK = 1.5
MARKED = struct.pack(">d", MARK)
NAN = struct.pack(">d", float("nan"))


def undecodable(term: Any) -> bytes:
    """``term`` in the external format, with each :data:`MARK` in it turned into something that Erlang never sends."""
    data = Codec().encode(term)
    assert MARKED in data
    return data.replace(MARKED, NAN)


def inject(pair: ConnectionPair, role: str, payload: bytes) -> Event:
    """``role`` gets a frame with ``payload``; returns the one event that it makes of it."""
    pair.inject(role, framed(payload, pair.packet))
    (event,) = pair.carry(role)
    return event


# -- what passes -----------------------------------------------------------------------------------------------------------------


def test_a_call_and_its_answer_are_the_bytes_that_erlport_exchanges() -> None:
    pair = ConnectionPair()
    pair.post(ERLANG, Call(1, Atom("operator"), Atom("add"), [2, 2]))
    assert pair.wires[PYTHON].hex() == "0000001f836805640001436101640008" + b"operator".hex() + "640003616464" + "6b00020202"
    (got,) = pair.carry(PYTHON)
    assert got == Call(1, ByteAtom("operator"), ByteAtom("add"), [2, 2])
    pair.post(PYTHON, Result(1, 4))
    assert pair.wires[ERLANG].hex() == "0000000b83680364000172" + "61016104"


@pytest.mark.parametrize("packet", [1, 2, 4])
@pytest.mark.parametrize("strings", ["bytes", "str"])
@pytest.mark.parametrize(("role", "kind"), [(role, kind) for role in ROLES for kind in EVENTS if kind in SENT_BY[role]])
def test_every_event_arrives_as_it_was_sent(role: str, kind: type[Event], strings: str, packet: int) -> None:
    pair = in_state(OPEN, packet=packet, codec={"strings": strings})
    event = sample(kind, role, id=2 if kind is Call else 1)
    got = pair.tell(role, event)
    assert type(got) is kind
    for name in kind.__slots__:
        sent, came = getattr(event, name), getattr(got, name)
        if isinstance(sent, Atom):
            assert came.name == sent.name, name
        elif isinstance(sent, bytes) and strings == "str":
            assert came == sent.decode(), name
        elif isinstance(sent, list):
            assert len(came) == len(sent), name
        else:
            assert came == sent, name


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(map(str, shape)))
def test_every_shape_is_sent_with_its_tag_and_arity(shape: tuple[str, str, int]) -> None:
    role, tag, arity = shape
    pair = in_state(OPEN)
    kind = SHAPES[shape]
    pair.post(role, sample(kind, role, id=2 if kind is Call else 1))
    term = Codec().decode(bytes(pair.wires[peer_of(role)][4:]))
    assert (term[0].name, len(term)) == (tag, arity)


def test_calls_are_answered_in_any_order_and_count_apart_in_both_directions() -> None:
    pair = ConnectionPair()
    for id in (1, 2, 3):
        for role in ROLES:
            assert isinstance(pair.tell(role, call(id, role=role)), Call)
    for role in ROLES:
        assert_in_flight(pair.ends[role], {1, 2, 3}, {1, 2, 3})
    for id in (3, 1, 2):
        assert pair.tell(PYTHON, Result(id, id * 10)) == Result(id, id * 10)
    assert_in_flight(pair.python, set(), {1, 2, 3})
    assert_in_flight(pair.erlang, {1, 2, 3}, set())
    for id in (2, 3, 1):
        assert pair.tell(ERLANG, Failure(id, id)) == Failure(id, id)
    for role in ROLES:
        assert_in_flight(pair.ends[role], set(), set())


def test_an_id_is_free_again_once_answered() -> None:
    pair = ConnectionPair()
    for _ in range(3):
        pair.tell(ERLANG, call(1))
        pair.tell(PYTHON, Result(1, None))
    assert_in_flight(pair.python, set(), set())


def test_calls_nest_to_any_depth() -> None:
    pair = ConnectionPair()
    depth = 1000
    for level in range(1, depth + 1):
        for role in ROLES:
            assert isinstance(pair.tell(role, call(level, role=role)), Call)
    for level in range(depth, 0, -1):
        for role in reversed(ROLES):
            pair.tell(role, Result(level, level))
    for role in ROLES:
        assert_in_flight(pair.ends[role], set(), set())


def test_new_ids_are_all_different() -> None:
    connection = ConnectionPair().python
    assert len({connection.new_id() for _ in range(1000)}) == 1000


def test_ids_of_128_bits_pass() -> None:
    pair = ConnectionPair()
    id = 2**128 - 1
    assert pair.tell(PYTHON, call(id, role=PYTHON)).id == id  # type: ignore[attr-defined]
    assert pair.tell(ERLANG, Result(id, 1)) == Result(id, 1)


def test_erlang_sends_no_context() -> None:
    pair = ConnectionPair()
    got = pair.tell(ERLANG, Call(1, Atom("m"), Atom("f"), [], Atom("N")))
    assert got == Call(1, ByteAtom("m"), ByteAtom("f"), [], None)


def test_a_large_binary_is_handed_on_and_not_copied() -> None:
    large = bytes(1_000_000)
    pair = in_state(OPEN)
    parts = pair.python.send(Result(1, large))
    assert any(part is large for part in parts)
    pair.inject(ERLANG, b"".join(parts))
    assert pair.carry(ERLANG) == [Result(1, large)]


def test_a_small_event_is_one_piece() -> None:
    assert len(in_state(OPEN).python.send(Result(1, 2))) == 1


@pytest.mark.parametrize("size", [65_000, 65_536, 70_000])
def test_an_event_around_the_size_of_the_buffer_arrives(size: int) -> None:
    pair = in_state(OPEN)
    numbers = [500] * (size // 5)
    assert pair.tell(PYTHON, Result(1, numbers)) == Result(1, numbers)


def test_the_receiving_memory_can_be_filled_from_outside() -> None:
    connection = ConnectionPair().python
    data = frame_of((Atom("M"), 1))
    connection.buffer()[: len(data)] = data
    connection.received(len(data))
    assert connection.has_frame()
    assert connection.pending_bytes() == len(data)
    assert events(connection) == [Message(1)]
    assert connection.next_event() is NEED_DATA


def test_a_role_is_one_of_two() -> None:
    with pytest.raises(ValueError, match="expected role to be 'python' or 'erlang', got 'elixir'"):
        Connection("elixir", Codec())


# -- steps that are in no table --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("kind", EVENTS)
def test_an_event_is_sent_where_the_tables_have_it_and_refused_elsewhere(kind: type[Event], state: str, role: str) -> None:
    pair = in_state(state, role)
    event = sample(kind, role, id=2 if kind is Call else 1)
    if kind in SENT_BY[role] and (state, f"send {kind.__name__}") in STEPS:
        assert isinstance(pair.tell(role, event), kind)
        assert pair.ends[role].state == STEPS[state, f"send {kind.__name__}"]
    else:
        assert_refuses(pair.ends[role], event)
        assert not pair.wires[peer_of(role)]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("kind", EVENTS)
def test_an_event_is_received_where_the_tables_have_it(kind: type[Event], state: str, role: str) -> None:
    sender = peer_of(role)
    if kind not in SENT_BY[sender]:
        return
    pair = in_state(state, role)
    pair.post(sender, sample(kind, sender, id=2 if kind is Call else 1))
    step = f"receive {kind.__name__}"
    if (state, step) in STEPS:
        (got,) = pair.carry(role)
        assert type(got) is kind
        assert pair.ends[role].state == STEPS[state, step]
    else:
        before = pair.ends[role].calls_in_flight()
        (got,) = pair.carry(role)
        assert_invalid(got, "frame", None, RemoteProtocolError, sender, state)
        assert pair.ends[role].calls_in_flight() == before


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "event", [Event(), Invalid("frame", None, RemoteProtocolError("expected a, got b"))], ids=["Event", "Invalid"]
)
def test_what_is_no_message_is_refused(event: Event, role: str) -> None:
    assert_refuses(in_state(OPEN).ends[role], event)


@pytest.mark.parametrize("role", ROLES)
def test_a_call_with_the_id_of_one_in_flight_is_refused(role: str) -> None:
    assert_refuses(in_state(OPEN).ends[role], call(1, role=role))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("id", [2, 0, -1, 2**128, True, 1.0, None, "1"])
def test_an_answer_with_an_id_that_is_not_in_flight_is_refused(id: Any, role: str) -> None:
    for kind in (Result, Failure):
        assert_refuses(in_state(OPEN).ends[role], kind(id, None))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("id", [True, 1.0, None, "1"])
def test_a_call_with_an_id_that_is_no_integer_is_refused(id: Any, role: str) -> None:
    assert_refuses(ConnectionPair().ends[role], call(id, role=role))


@pytest.mark.parametrize("role", ROLES)
def test_a_second_answer_is_refused(role: str) -> None:
    pair = in_state(OPEN)
    pair.tell(role, Result(1, None))
    for kind in (Result, Failure):
        assert_refuses(pair.ends[role], kind(1, None))


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("step", ["stop", "close"])
def test_stopping_and_closing_follow_the_table(state: str, step: str) -> None:
    connection = in_state(state).python
    expected = STEPS.get((state, step))
    if expected is None:
        with unchanged(connection), pytest.raises(LocalProtocolError) as caught:
            getattr(connection, step)()
        assert_names_the_step(caught.value, connection, step)
    else:
        getattr(connection, step)()
        assert connection.state == expected


def test_closed_is_for_good() -> None:
    assert {after for (before, _), after in STEPS.items() if before == CLOSED} == {CLOSED}


def test_stopping_ends_only_in_closed() -> None:
    assert {after for (before, _), after in STEPS.items() if before == STOPPING} == {STOPPING, CLOSED}


def test_a_side_that_stops_answers_what_it_was_asked_and_gets_what_it_asked() -> None:
    pair = in_state(STOPPING)
    refused = pair.tell(ERLANG, call(2))
    assert isinstance(refused, Call)
    assert pair.tell(PYTHON, Failure(2, Atom("stopping"))).id == 2  # type: ignore[attr-defined]
    # What runs may need Erlang to finish.
    assert pair.tell(PYTHON, call(2, role=PYTHON)).id == 2  # type: ignore[attr-defined]
    assert pair.tell(ERLANG, Result(2, 2)) == Result(2, 2)
    assert pair.tell(ERLANG, Result(1, 1)) == Result(1, 1)
    assert pair.tell(PYTHON, Result(1, 2)) == Result(1, 2)
    assert_in_flight(pair.python, set(), set())


# -- what cannot be encoded ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", [Result, Failure])
def test_an_answer_that_cannot_be_encoded_leaves_the_call_to_be_answered(kind: type[Event], role: str) -> None:
    pair = in_state(OPEN)
    with unchanged(pair.ends[role]), pytest.raises(EncodeError):
        pair.ends[role].send(kind(1, object()))  # type: ignore[call-arg]
    assert pair.tell(role, Failure(1, 2)) == Failure(1, 2)
    assert_usable(pair)


@pytest.mark.parametrize("role", ROLES)
def test_a_call_that_cannot_be_encoded_is_not_in_flight(role: str) -> None:
    pair = in_state(OPEN)
    with unchanged(pair.ends[role]), pytest.raises(EncodeError):
        pair.ends[role].send(call(2, object(), role=role))
    assert isinstance(pair.tell(role, call(2, role=role)), Call)


@pytest.mark.parametrize(("packet", "longest"), [(1, 0xFF), (2, 0xFFFF)])
@pytest.mark.parametrize("role", ROLES)
def test_a_frame_that_does_not_fit_the_packet_leaves_the_call_to_be_answered(role: str, packet: int, longest: int) -> None:
    pair = in_state(OPEN, packet=packet)
    with unchanged(pair.ends[role]), pytest.raises(EncodeLimitError) as caught:
        pair.ends[role].send(Result(1, bytes(longest)))
    assert (caught.value.limit, caught.value.maximum) == ("packet", longest)
    overhead = len(Codec().encode((Atom("r"), 1, b"")))
    fits = bytes(longest - overhead)
    assert pair.tell(role, Result(1, fits)) == Result(1, fits)
    with unchanged(pair.ends[role]), pytest.raises(EncodeLimitError):
        pair.ends[role].send(call(2, bytes(longest), role=role))


# -- bad input: terms that are no message ----------------------------------------------------------------------------------------

NO_MESSAGE: dict[str, Any] = {
    "integer": 5,
    "float": 0.5,
    "binary": b"C",
    "atom": Atom("C"),
    "empty tuple": (),
    "tuple of one": (Atom("C"),),
    "tag that is a binary": (b"C", 7, Atom("m"), Atom("f"), []),
    "tag that is a string": ([67], 7, Atom("m"), Atom("f"), []),
    "tag that is a tuple": ((Atom("C"),), 7, Atom("m"), Atom("f"), []),
    "tag in lower case": (Atom("c"), 7, Atom("m"), Atom("f"), []),
    "longer tag": (Atom("CC"), 7, Atom("m"), Atom("f"), []),
    "wide tag": (Atom("日"), 7),
    "empty list": [],
    "call as a list": [Atom("C"), 7, Atom("m"), Atom("f"), []],
    "call as an improper list": ImproperList([Atom("C"), 7, Atom("m"), Atom("f"), []], 1),
    "message as a list": [Atom("M"), 7],
    "empty map": {},
    "map that looks like a message": {0: Atom("M"), 1: 7},
    "map that looks like an answer": {0: Atom("r"), 1: 1, 2: 7},
    "message of three": (Atom("M"), 7, 8),
    "answer of four": (Atom("r"), 77, 8, 9),
    "call without id": (Atom("C"), Atom("m"), Atom("f"), []),
    "call of two without id": (Atom("C"), Atom("m")),
    "Python's output": (Atom("P"), b"text"),
    "Python's message": (Atom("M"), Atom("name"), 7),
    "Python's call": (Atom("C"), Atom("id"), Atom("m"), Atom("f"), [], Atom("N")),
    "Python's handler failure": (Atom("e"), Atom("reason")),
}


@pytest.mark.parametrize("strings", ["bytes", "str"])
@pytest.mark.parametrize("name", NO_MESSAGE)
def test_a_term_that_is_no_message_is_named_and_passed_over(name: str, strings: str) -> None:
    pair = in_state(OPEN, codec={"strings": strings})
    with unchanged(pair.python):
        got = pair.inject_term(PYTHON, NO_MESSAGE[name])
    assert_invalid(got, "frame", None, RemoteProtocolError, ERLANG, OPEN)
    assert_usable(pair)


@pytest.mark.parametrize(
    "term",
    [(Atom("M"), 7), (Atom("C"), Atom("id"), Atom("m"), Atom("f"), []), (Atom("P"), b"a", b"b")],
    ids=["message", "call", "output"],
)
def test_the_erlang_end_passes_over_what_python_may_not_send(term: Any) -> None:
    pair = in_state(OPEN)
    with unchanged(pair.erlang):
        got = pair.inject_term(ERLANG, term)
    assert_invalid(got, "frame", None, RemoteProtocolError, PYTHON, OPEN)
    assert_usable(pair)


def test_an_error_names_no_value() -> None:
    got = ConnectionPair().inject_term(PYTHON, (Atom("C"), 7, b"secret", b"secret", [b"secret"]))
    assert isinstance(got, Invalid)
    assert "secret" not in str(got.error)


BAD_CALLS: dict[str, tuple[Any, list[str]]] = {
    "of two": ((Atom("C"), 7), ["tuple of 2"]),
    "without arguments": ((Atom("C"), 7, Atom("m"), Atom("f")), ["tuple of 4"]),
    "with a context": ((Atom("C"), 7, Atom("m"), Atom("f"), [], Atom("N")), ["tuple of 6"]),
    "whose module is a binary": ((Atom("C"), 7, b"m", Atom("f"), []), ["module", "atom", "a bytes"]),
    "whose module is a list": ((Atom("C"), 7, [1], Atom("f"), []), ["module", "atom"]),
    "whose module is true": ((Atom("C"), 7, True, Atom("f"), []), ["module", "atom", "a bool"]),
    "whose function is an integer": ((Atom("C"), 7, Atom("m"), 1, []), ["function", "atom", "an int"]),
    "whose arguments are an atom": ((Atom("C"), 7, Atom("m"), Atom("f"), Atom("a")), ["arguments", "list", "Atom"]),
    "whose arguments are a tuple": ((Atom("C"), 7, Atom("m"), Atom("f"), (1, 2, 3)), ["arguments", "list", "a tuple of 3"]),
    "whose arguments are improper": (
        (Atom("C"), 7, Atom("m"), Atom("f"), ImproperList([1], 2)),
        ["arguments", "proper list", "an ImproperList"],
    ),
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", BAD_CALLS)
def test_a_malformed_call_can_be_answered_by_its_id(name: str, role: str) -> None:
    term, mentions = BAD_CALLS[name]
    if role == ERLANG and len(term) == 6:
        term, mentions = term[:-1], ["tuple of 5"]
    elif role == ERLANG and len(term) == 5:
        # Python's calls have a context.
        term = (*term, Atom("N"))
    pair = in_state(OPEN)
    got = pair.inject_term(role, term)
    assert_invalid(got, "call", 7, RemoteProtocolError, *mentions)
    assert_in_flight(pair.ends[role], {1, 7}, {1})
    pair.post(role, Failure(7, Atom("refused")))
    assert_in_flight(pair.ends[role], {1}, {1})


@pytest.mark.parametrize(
    "id", [Atom("a"), True, 1.0, b"1", (1,), None], ids=["atom", "true", "float", "binary", "tuple", "undefined"]
)
def test_a_call_whose_id_is_no_integer_concerns_nobody(id: Any) -> None:
    pair = in_state(OPEN)
    with unchanged(pair.python):
        got = pair.inject_term(PYTHON, (Atom("C"), id, Atom("m"), Atom("f"), []))
    assert_invalid(got, "frame", None, RemoteProtocolError, "id", "integer")
    assert_usable(pair)


@pytest.mark.parametrize("term", [(Atom("C"), 1, Atom("m"), Atom("f"), []), (Atom("C"), 1)], ids=["well-formed", "malformed"])
def test_a_call_with_the_id_of_one_in_flight_concerns_nobody(term: Any) -> None:
    pair = in_state(OPEN)
    with unchanged(pair.python):
        got = pair.inject_term(PYTHON, term)
    assert_invalid(got, "frame", None, RemoteProtocolError)
    assert pair.tell(PYTHON, Result(1, 1)) == Result(1, 1)


@pytest.mark.parametrize("tag", ["r", "e"])
@pytest.mark.parametrize("id", [2, 0, -1, 2**200, True, 1.0, Atom("a"), [1], {}], ids=repr)
def test_an_answer_with_an_unknown_id_concerns_nobody(id: Any, tag: str) -> None:
    pair = in_state(OPEN)
    with unchanged(pair.python):
        got = pair.inject_term(PYTHON, (Atom(tag), id, 5))
    assert_invalid(got, "frame", None, RemoteProtocolError, "answer", "id")
    assert_usable(pair)


@pytest.mark.parametrize("tag", ["r", "e"])
def test_a_second_answer_concerns_nobody(tag: str) -> None:
    pair = in_state(OPEN)
    pair.tell(ERLANG, Result(1, 1))
    with unchanged(pair.python):
        got = pair.inject_term(PYTHON, (Atom(tag), 1, 5))
    assert_invalid(got, "frame", None, RemoteProtocolError)


@pytest.mark.parametrize("term", [(Atom("r"), 1), (Atom("e"), 1), (Atom("r"), 1, 2, 3), (Atom("e"), 1, 2, 3)], ids=repr)
def test_a_malformed_answer_ends_the_call(term: Any) -> None:
    pair = in_state(OPEN)
    got = pair.inject_term(PYTHON, term)
    assert_invalid(got, "answer", 1, RemoteProtocolError, f"a tuple of {len(term)}")
    assert_in_flight(pair.python, {1}, set())


# -- bad input: bytes that are no term -------------------------------------------------------------------------------------------

GARBAGE: dict[str, bytes] = {
    "nothing": b"",
    "version only": b"\x83",
    "tuple cut": b"\x83h",
    "arity only": b"\x83h\x05",
    "tag cut": b"\x83h\x05d\x00",
    "tag only": b"\x83h\x05d\x00\x01C",
    "large tuple cut": b"\x83i\x00\x00",
    "other version": b"\x82h\x02d\x00\x01Ma\x01",
    "unknown tag": b"\x83\xff",
    "text": b"hello, world\n",
    "zeros": bytes(100),
    "trailing bytes": Codec().encode((Atom("M"), 1)) + b"x",
    "nan as a message": undecodable((Atom("M"), MARK)),
    "nan as a message beside a number": undecodable((Atom("M"), 7, MARK)),
    "nan as tag": undecodable((MARK, 7, Atom("m"), Atom("f"), [])),
    "nan as id": undecodable((Atom("C"), MARK, Atom("m"), Atom("f"), [])),
    "nan in a list": undecodable([Atom("C"), 7, MARK]),
    "compressed garbage": b"\x83P\x00\x00\x00\x10garbage",
    "compressed nothing": b"\x83P",
    "compressed nan": b"\x83P" + struct.pack(">I", 9) + zlib.compress(b"F" + NAN),
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", GARBAGE)
def test_bytes_that_are_no_message_are_passed_over(name: str, role: str) -> None:
    pair = in_state(OPEN)
    with unchanged(pair.ends[role]):
        got = inject(pair, role, GARBAGE[name])
    assert_invalid(got, "frame", None, DecodeError)
    assert_usable(pair)


def large_tuple(data: bytes) -> bytes:
    """The same tuple with a length of four bytes."""
    assert data[1] == 104
    return b"\x83i" + data[2:3].rjust(4, b"\0") + data[3:]


def compressed(data: bytes) -> bytes:
    return b"\x83P" + struct.pack(">I", len(data) - 1) + zlib.compress(data[1:])


FORMS = {"small": bytes, "large tuple": large_tuple, "compressed": compressed}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("id", [0, 7, -7, 255, 256, 2**31, 2**63, 2**128 - 1])
@pytest.mark.parametrize("strings", ["bytes", "str"])
def test_a_call_that_cannot_be_decoded_can_be_answered_by_its_id(id: int, form: str, strings: str) -> None:
    pair = in_state(OPEN, codec={"strings": strings})
    got = inject(pair, PYTHON, FORMS[form](undecodable((Atom("C"), id, Atom("m"), Atom("f"), [b"x" * 1000, MARK]))))
    assert_invalid(got, "call", id, CodecError)
    assert_in_flight(pair.python, {1, id}, {1})
    pair.python.send(Failure(id, Atom("unreadable")))
    assert_in_flight(pair.python, {1}, {1})


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tag", ["r", "e"])
@pytest.mark.parametrize("role", ROLES)
def test_an_answer_that_cannot_be_decoded_ends_the_call(role: str, tag: str, form: str) -> None:
    pair = in_state(OPEN)
    got = inject(pair, role, FORMS[form](undecodable((Atom(tag), 1, MARK))))
    assert_invalid(got, "answer", 1, CodecError)
    assert_in_flight(pair.ends[role], {1}, set())


@pytest.mark.parametrize("term", [(Atom("C"), 1, MARK), (Atom("r"), 2, MARK), (Atom("e"), 2, MARK)], ids=repr)
def test_what_cannot_be_decoded_and_has_a_wrong_id_concerns_nobody(term: Any) -> None:
    pair = in_state(OPEN)
    with unchanged(pair.python):
        got = inject(pair, PYTHON, undecodable(term))
    assert_invalid(got, "frame", None, CodecError)
    assert_usable(pair)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"max_depth": 20}, 30),
        ({"max_elements": 50}, 60),
        ({"max_bytes": 10_000}, b"x" * 10_000),
        ({"max_digits": 10}, 2**90),
    ],
    ids=["depth", "elements", "bytes", "digits"],
)
def test_a_call_beyond_a_limit_can_be_answered_by_its_id(options: dict[str, int], argument: Any) -> None:
    name = next(iter(options))
    if name == "max_depth":
        depth, argument = argument, []
        for _ in range(depth):
            argument = [argument]
    elif name == "max_elements":
        argument = [500] * argument
    term = (Atom("C"), 7, Atom("m"), Atom("f"), [argument])
    pair = in_state(OPEN, codec=options)
    got = inject(pair, PYTHON, Codec().encode(term))
    assert_invalid(got, "call", 7, CodecError, name)
    assert got.error.limit == name  # type: ignore[attr-defined]


@pytest.mark.parametrize("state", [STOPPING, CLOSED])
def test_a_bad_call_after_the_end_is_answered_only_while_answers_may_be_sent(state: str) -> None:
    for data in (frame_of((Atom("C"), 7)), framed(undecodable((Atom("C"), 7, MARK)))):
        pair = in_state(state)
        before = pair.python.calls_in_flight()
        pair.inject(PYTHON, data)
        (got,) = pair.carry(PYTHON)
        if state == STOPPING:
            assert_invalid(got, "call", 7, Exception)  # type: ignore[arg-type]
            pair.python.send(Failure(7, Atom("stopping")))
        else:
            assert_invalid(got, "frame", None, Exception)  # type: ignore[arg-type]
        assert pair.python.calls_in_flight() == before


# -- bad input: lengths ----------------------------------------------------------------------------------------------------------


def test_a_frame_too_long_ends_the_stream_and_changes_nothing_else() -> None:
    pair = in_state(OPEN, max_frame=1000)
    pair.inject(PYTHON, frame_of((Atom("M"), 1)) + framed(bytes(1001)))
    pair.python.feed(bytes(pair.wires[PYTHON]))
    assert pair.python.next_event() == Message(1)
    for _ in range(2):
        with unchanged(pair.python), pytest.raises(FrameTooLong, match="at most 1000 bytes"):
            pair.python.next_event()
    pair.erlang.feed(b"".join(pair.python.send(Result(1, 1))))
    assert events(pair.erlang) == [Result(1, 1)]


def test_events_come_at_once_as_they_would_one_by_one() -> None:
    pair = in_state(OPEN, at_once=True, max_frame=1000)
    pair.inject(PYTHON, frame_of((Atom("M"), 1)) + framed(b"junk") + frame_of((Atom("r"), 1, 2)) + framed(bytes(1001)))
    pair.python.feed(bytes(pair.wires[PYTHON]))
    message, junk, result = pair.python.events()
    assert message == Message(1)
    assert_invalid(junk, "frame", None, DecodeError)
    assert result == Result(1, 2)
    for _ in range(2):
        with unchanged(pair.python), pytest.raises(FrameTooLong, match="at most 1000 bytes"):
            pair.python.events()


def test_arguments_may_be_any_kind_of_proper_list() -> None:
    class Arguments(list[Any]):
        pass

    class Hooked:
        """A codec whose hooks make something of their own out of lists."""

        def decode(self, data: bytes) -> Any:
            return (ByteAtom("C"), 1, ByteAtom("m"), ByteAtom("f"), Arguments([5]))

    connection = Connection(PYTHON, Hooked())  # type: ignore[arg-type]
    connection.feed(framed(b"anything"))
    got = connection.next_event()
    assert isinstance(got, Call)
    assert got.args == [5]
    assert_in_flight(connection, {1}, set())
