"""Two engines on a wire that cuts where it likes, against a model that is a few sets and two queues."""

from collections import deque
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dspex_erl.errors import DspexError, EncodeError, EncodeLimitError, FrameTooLong, LocalProtocolError
from dspex_erl.etf import Codec
from dspex_erl.terms import Atom
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
    assert_refuses,
    call,
    events,
    frame_of,
    framed,
    peer_of,
    sample,
    unchanged,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.binary(max_size=3), inner, max_size=3),
    max_leaves=8,
)
IDS = st.one_of(st.integers(1, 6), st.integers(0, 2**128 - 1))
ROLE = st.sampled_from(ROLES)


class Conversation(RuleBasedStateMachine):
    """Anything that two sides may do, in any order, while the bytes of it are still under way.

    ``asked[role]`` are the calls that the role has sent and that it knows no answer of; ``owed[role]`` those that have reached it and
    that it has not answered. ``under_way[role]`` is what was sent to it, each with the bytes that it takes.
    """

    @initialize(packet=st.sampled_from([1, 2, 4]), buffer_size=st.sampled_from([1, 64, 65536]), at_once=st.booleans())
    def start(self, packet: int, buffer_size: int, at_once: bool) -> None:
        self.pair = ConnectionPair(packet, at_once, buffer_size=buffer_size)
        self.asked: dict[str, set[int]] = {role: set() for role in ROLES}
        self.owed: dict[str, set[int]] = {role: set() for role in ROLES}
        self.state = dict.fromkeys(ROLES, OPEN)
        self.under_way: dict[str, deque[tuple[int, Any]]] = {role: deque() for role in ROLES}
        self.carried = dict.fromkeys(ROLES, 0)

    # -- what the sides do -------------------------------------------------------------------------------------------------------

    def allowed(self, role: str, kind: type[Event]) -> bool:
        return kind in SENT_BY[role] and (self.state[role], f"send {kind.__name__}") in STEPS

    def post(self, role: str, event: Event) -> bool:
        """Whether it was sent: a frame may be too long for a packet of 1, and then nothing has happened."""
        try:
            size = self.pair.post(role, event)
        except EncodeLimitError:
            assert self.pair.packet == 1
            return False
        self.under_way[peer_of(role)].append((size, event))
        return True

    @rule(role=ROLE, id=st.none() | IDS, args=st.lists(VALUES, max_size=3))
    def ask(self, role: str, id: int | None, args: list[Any]) -> None:
        id = self.pair.ends[role].new_id() if id is None else id
        event = call(id, *args, role=role)
        if id in self.asked[role] or not self.allowed(role, Call):
            assert_refuses(self.pair.ends[role], event)
        elif self.post(role, event):
            self.asked[role].add(id)

    @precondition(lambda self: any(self.owed.values()))
    @rule(data=st.data(), value=VALUES, kind=st.sampled_from([Result, Failure]))
    def answer(self, data: st.DataObject, value: Any, kind: type[Event]) -> None:
        role = data.draw(st.sampled_from([role for role in ROLES if self.owed[role]]))
        id = data.draw(st.sampled_from(sorted(self.owed[role])))
        event = kind(id, value)  # type: ignore[call-arg]
        if not self.allowed(role, kind):
            assert_refuses(self.pair.ends[role], event)
        elif self.post(role, event):
            self.owed[role].remove(id)

    @rule(
        role=ROLE,
        kind=st.sampled_from([Message, Send, Output, HandlerFailure, Call, Result, Failure, Invalid, Event]),
        value=VALUES,
    )
    def say(self, role: str, kind: type[Event], value: Any) -> None:
        made: dict[type[Event], Event] = {
            Message: Message(value),
            Send: Send(Atom("name"), value),
            Output: Output(value),
            HandlerFailure: HandlerFailure(value),
            Invalid: Invalid("frame", None, LocalProtocolError("expected a, got b")),
            Event: Event(),
        }
        event = made.get(kind)
        if event is None:
            return
        if self.allowed(role, kind):
            self.post(role, event)
        else:
            assert_refuses(self.pair.ends[role], event)

    @rule(role=ROLE, id=IDS, kind=st.sampled_from([Result, Failure]))
    def answer_what_was_not_asked(self, role: str, id: int, kind: type[Event]) -> None:
        if id not in self.owed[role]:
            assert_refuses(self.pair.ends[role], kind(id, None))  # type: ignore[call-arg]

    @rule(role=ROLE, data=st.data())
    def try_to_send_what_has_no_counterpart(self, role: str, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(sorted(self.owed[role]))) if self.owed[role] else None
        event = call(10**40, object(), role=role) if id is None else Result(id, object())
        if self.allowed(role, type(event)):
            end = self.pair.ends[role]
            with unchanged(end):
                try:
                    end.send(event)
                except EncodeError:
                    return
                raise AssertionError("an object was encoded")

    @rule(role=ROLE, junk=st.binary(max_size=60), term=st.none() | VALUES)
    def disturb(self, role: str, junk: bytes, term: Any) -> None:
        """A frame that no engine sends, out of the blue."""
        payload = junk if term is None else Codec().encode(term)
        if len(payload) > 255:
            return
        # Whatever else it is, it is none of the four messages, all of which are tuples with an atom first.
        frame = framed(payload, self.pair.packet)
        self.pair.inject(role, frame)
        self.under_way[role].append((len(frame), Invalid))

    @rule(role=ROLE)
    def stop(self, role: str) -> None:
        end = self.pair.ends[role]
        if self.state[role] == CLOSED:
            with unchanged(end):
                try:
                    end.stop()
                except LocalProtocolError:
                    return
                raise AssertionError("a closed connection was stopped")
        end.stop()
        self.state[role] = STOPPING

    @precondition(lambda self: sum(map(len, self.asked.values())) > 3)
    @rule(role=ROLE)
    def close(self, role: str) -> None:
        self.pair.ends[role].close()
        self.state[role] = CLOSED

    # -- what the wire does ------------------------------------------------------------------------------------------------------

    @rule(role=ROLE, count=st.one_of(st.integers(0, 40), st.just(10**9)))
    def carry(self, role: str, count: int) -> None:
        self.carried[role] += min(count, len(self.pair.wires[role]))
        got = self.pair.carry(role, count)
        due = []
        while self.under_way[role] and self.under_way[role][0][0] <= self.carried[role]:
            size, event = self.under_way[role].popleft()
            self.carried[role] -= size
            due.append(event)
        assert len(got) == len(due)
        for came, sent in zip(got, due, strict=True):
            self.compare(role, came, sent)

    def compare(self, role: str, came: Event, sent: Any) -> None:
        if sent is Invalid or self.state[role] == CLOSED:
            assert isinstance(came, Invalid)
            assert (came.kind, came.id) == ("frame", None)
            return
        if isinstance(sent, Call):
            assert isinstance(came, Call)
            assert sent.id not in self.owed[role]
            assert (came.id, came.args) == (sent.id, sent.args)
            self.owed[role].add(sent.id)
            return
        if isinstance(sent, (Result, Failure)):
            self.asked[role].remove(sent.id)
        if isinstance(sent, Send):
            assert isinstance(came, Send)
            assert came.payload == sent.payload
            return
        assert came == sent

    # -- what always holds -------------------------------------------------------------------------------------------------------

    @invariant()
    def both_ends_know_what_the_model_knows(self) -> None:
        if not hasattr(self, "pair"):
            return
        for role in ROLES:
            end = self.pair.ends[role]
            assert end.state == self.state[role]
            assert_in_flight(end, received=self.owed[role], sent=self.asked[role])
            assert end.pending_bytes() == self.carried[role]
            assert end.next_event() is NEED_DATA

    def teardown(self) -> None:
        """However far they came: once all is carried and answered, nothing is in flight on an end that is not closed."""
        if not hasattr(self, "pair"):
            return
        for _ in range(2):
            for role in ROLES:
                self.carry(role, 10**9)
                if self.state[role] != CLOSED:
                    for id in sorted(self.owed[role]):
                        assert self.post(role, Result(id, None))
                        self.owed[role].remove(id)
        for role in ROLES:
            self.carry(role, 10**9)
        if CLOSED not in self.state.values():
            for role in ROLES:
                assert_in_flight(self.pair.ends[role], set(), set())


Conversation.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestConversation = Conversation.TestCase


@settings(deadline=None)
@given(st.permutations(range(1, 30)), st.permutations(range(1, 30)), st.integers(1, 100), st.booleans())
def test_any_number_of_calls_is_answered_in_any_order_both_ways(
    to_python: list[int], to_erlang: list[int], cut: int, at_once: bool
) -> None:
    pair = ConnectionPair(at_once=at_once)
    for id in range(1, 30):
        for role in ROLES:
            pair.post(role, call(id, id, role=role))
    came: dict[str, list[Event]] = {role: [] for role in ROLES}
    while any(pair.wires.values()):
        for role in ROLES:
            came[role] += pair.carry(role, cut)
    for role in ROLES:
        assert [(event.id, event.args) for event in came[role]] == [(id, [id]) for id in range(1, 30)]  # type: ignore[attr-defined]
    for first, second in zip(to_python, to_erlang, strict=True):
        pair.post(PYTHON, Result(first, first))
        pair.post(ERLANG, Failure(second, second))
    assert pair.carry(ERLANG) == [Result(id, id) for id in to_python]
    assert pair.carry(PYTHON) == [Failure(id, id) for id in to_erlang]
    for role in ROLES:
        assert_in_flight(pair.ends[role], set(), set())


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(1, 50), st.sampled_from([1, 2, 4]))
def test_calls_nest_as_deep_as_one_likes(depth: int, cut: int, packet: int) -> None:
    pair = ConnectionPair(packet)
    for level in range(1, depth + 1):
        for role in ROLES:
            pair.post(role, call(level, level, role=role))
            came: list[Event] = []
            while pair.wires[peer_of(role)]:
                came += pair.carry(peer_of(role), cut)
            assert [event.id for event in came] == [level]  # type: ignore[attr-defined]
    for level in range(depth, 0, -1):
        assert pair.tell(ERLANG, Result(level, level)) == Result(level, level)
        assert pair.tell(PYTHON, Result(level, level)) == Result(level, level)
    for role in ROLES:
        assert_in_flight(pair.ends[role], set(), set())


TAGS = st.sampled_from([Atom(tag) for tag in ("C", "M", "r", "e", "P", "x", "")]) | st.binary(max_size=2) | st.integers(0, 9)
NEARLY = st.builds(
    lambda tag, second, rest: (tag, second, *rest),
    TAGS,
    st.sampled_from([1, 2, 7, True, 1.0, Atom("a"), b"1", 2**70]),
    st.lists(st.sampled_from([Atom("m"), b"m", 1, [], [1], (), {}, True]), max_size=5),
)


@settings(deadline=None)
@given(ROLE, NEARLY)
def test_what_nearly_is_a_message_becomes_an_event_and_nothing_worse(role: str, term: Any) -> None:
    pair = ConnectionPair()
    for sender in ROLES:
        pair.tell(sender, call(1, role=sender))
    end = pair.ends[role]
    received, sent = end.calls_in_flight()
    got = pair.inject_term(role, term)
    now_received, now_sent = end.calls_in_flight()
    if isinstance(got, Call) or (isinstance(got, Invalid) and got.kind == "call"):
        assert now_received - received == {got.id}
        assert now_sent == sent
        end.send(Failure(got.id, 0))  # type: ignore[arg-type]
    elif isinstance(got, (Result, Failure)) or (isinstance(got, Invalid) and got.kind == "answer"):
        assert sent - now_sent == {got.id}
        assert type(got.id) is int
        assert now_received == received
    else:
        assert (now_received, now_sent) == (received, sent)
    if not isinstance(got, Invalid):
        assert (peer_of(role), term[0].name, len(term)) in SHAPES


@settings(deadline=None)
@given(ROLE, st.sampled_from(["open", "stopping", "closed"]), st.data())
def test_a_legal_frame_with_one_byte_changed_is_an_event_and_nothing_worse(role: str, state: str, data: st.DataObject) -> None:
    sender = peer_of(role)
    pair = ConnectionPair()
    for each in ROLES:
        pair.tell(each, call(1, role=each))
    kind = data.draw(st.sampled_from(sorted(SENT_BY[sender], key=lambda kind: kind.__name__)))
    pair.post(sender, sample(kind, sender, id=2 if kind is Call else 1))
    frame = bytearray(pair.wires[role])
    position = data.draw(st.integers(4, len(frame) - 1))
    frame[position] = data.draw(st.integers(0, 255))
    end = pair.ends[role]
    if state != OPEN:
        getattr(end, {"stopping": "stop", "closed": "close"}[state])()
    end.feed(bytes(frame))
    (event,) = events(end)
    if isinstance(event, Invalid):
        assert isinstance(event.error, DspexError)
        assert event.kind in ("call", "answer", "frame")
    else:
        assert type(event) in SENT_BY[sender]
    if state == CLOSED:
        assert isinstance(event, Invalid)
        assert_in_flight(end, {1}, {1})


@settings(deadline=None)
@given(ROLE, st.binary(max_size=400), st.sampled_from([1, 2, 4]), st.integers(1, 50), st.booleans())
def test_any_stream_is_events_or_too_long(role: str, junk: bytes, packet: int, cut: int, at_once: bool) -> None:
    connection = Connection(role, Codec(), packet=packet, max_frame=200)
    try:
        for start in range(0, len(junk), cut):
            connection.feed(junk[start : start + cut])
            for event in events(connection, at_once):
                assert isinstance(event, Event)
    except FrameTooLong:
        assert connection.has_frame()


@settings(deadline=None)
@given(ROLE, st.lists(st.binary(max_size=30), max_size=20), st.integers(1, 60))
def test_events_are_the_same_fetched_one_by_one_or_at_once(role: str, junk: list[bytes], cut: int) -> None:
    stream = b""
    for position, payload in enumerate(junk):
        good = sample(Call, peer_of(role), id=position)
        stream += framed(payload) + frame_of((Atom("C"), *(field for field in good.fields() if field is not None)))
    ends = [Connection(role, Codec(), buffer_size=64) for _ in range(2)]
    got: list[list[str]] = [[], []]
    for start in range(0, len(stream), cut):
        for at_once, end in enumerate(ends):
            end.feed(stream[start : start + cut])
            got[at_once] += [repr(event) for event in events(end, bool(at_once))]
    assert got[0] == got[1]


@settings(deadline=None)
@given(ROLE, st.binary(max_size=100))
def test_a_good_frame_after_any_bad_one_is_read(role: str, junk: bytes) -> None:
    connection = Connection(role, Codec())
    good = sample(Call, peer_of(role), id=2**60)
    term = (Atom("C"), *(field for field in good.fields() if field is not None))
    connection.feed(framed(junk) + frame_of(term))
    _, last = events(connection)
    assert isinstance(last, Call)
    assert last.id == 2**60
