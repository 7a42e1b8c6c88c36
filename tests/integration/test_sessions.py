"""The scenarios that sessions exist for, through a real worker: parallel execution, clean-up, two users, and hundreds at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dspex_erl.bridge.dialect import plain
from dspex_erl.terms import Atom
from tests.lm_server import LMServer
from tests.peer import PATIENCE, Peer, RemoteError

LONG = 4 * PATIENCE
"""How long the first program of a worker may take: DSPy is imported for it."""


@pytest.fixture(params=["serial", "concurrent", "str"])
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    """A worker of each kind that users have."""
    options, codec = {
        "serial": ((), {}),
        "concurrent": (("--concurrency", "1000"), {}),
        "str": (("--concurrency", "1000", "--strings", "str"), {"strings": "str"}),
    }[request.param]
    with Peer(*options, codec=codec) as made:
        yield made


@pytest.fixture
def busy() -> Iterator[Peer]:
    with Peer("--concurrency", "2000") as made:
        yield made


def call(peer: Peer, function: str, *args: Any) -> Any:
    return plain(peer.call("dspex_erl", function, args, timeout=LONG))


def scripted(*answers: Any) -> dict[Any, Any]:
    return {Atom("model"): b"scripted", Atom("answers"): [{Atom("answer"): answer} for answer in answers]}


def test_two_users_with_the_same_program_id(peer: Peer) -> None:
    call(peer, "create_session", b"alice", {Atom("lm"): scripted(b"from alice")})
    call(peer, "create_session", b"bob", {Atom("lm"): scripted(b"from bob")})
    for user in (b"alice", b"bob"):
        call(peer, "create_program", user, b"qa", b"question -> answer")
    results = [call(peer, "execute_program", user, b"qa", {Atom("question"): b"Who?"})["result"] for user in (b"alice", b"bob")]
    assert results == [{"answer": "from alice"}, {"answer": "from bob"}]


def test_clean_up(peer: Peer) -> None:
    for _ in range(2):
        # The second round finds nothing of the first.
        assert call(peer, "create_program", b"test", b"qa", b"question -> answer")["status"] == "created"
        assert call(peer, "destroy_session", b"test")["cleared_programs"] == 1
    assert call(peer, "list_sessions")["sessions"] == []


def test_the_keys_follow_the_inputs(peer: Peer) -> None:
    call(peer, "create_session", Atom("s"), {b"lm": {b"model": b"echo"}})
    call(peer, "create_program", Atom("s"), Atom("qa"), b"question -> answer")
    atoms = peer.call("dspex_erl", "execute_program", [b"s", b"qa", {Atom("question"): b"Why?"}])
    binaries = peer.call("dspex_erl", "execute_program", [b"s", b"qa", {b"question": b"Why?"}])
    (key,) = _get(atoms, "result")
    assert type(key).__name__ in ("Atom", "ByteAtom")
    (key,) = _get(binaries, "result")
    assert type(key).__name__ in ("bytes", "str")


def _get(reply: Any, name: str) -> Any:
    return next(value for key, value in reply.items() if plain(key) == name)


def test_an_error_is_of_its_class_and_in_one_sentence(peer: Peer) -> None:
    with pytest.raises(RemoteError) as caught:
        peer.call("dspex_erl", "execute_program", [b"s", b"none", {}])
    assert caught.value.type == "dspex_erl.errors.ProgramNotFound"
    assert "'none'" in caught.value.message


def test_parallel_execution(busy: Peer) -> None:
    # Each of the sessions waits for its model; one after the other they would take minutes.
    sessions = [f"session {number}".encode() for number in range(120)]
    for session in sessions:
        slow = {Atom("model"): b"scripted", Atom("answers"): [{Atom("delay_ms"): 1000, Atom("answer"): session}]}
        call(busy, "create_session", session, {Atom("lm"): slow})
        call(busy, "create_program", session, b"qa", b"question -> answer")
    ids = [busy.send_call("dspex_erl", "execute_program", [session, b"qa", {b"question": b"Who?"}]) for session in sessions]
    answers = [plain(busy.answer(id, timeout=PATIENCE))["result"]["answer"] for id in ids]
    assert answers == [session.decode() for session in sessions]
    assert call(busy, "health_check")["in_flight"] == 0


def test_a_hundred_sessions_over_a_real_server(busy: Peer) -> None:
    with LMServer(latency=0.2) as server:
        lm = {Atom("model"): b"openai/test", Atom("api_base"): server.url.encode(), Atom("api_key"): b"sk-test"}
        sessions = [f"session {number}".encode() for number in range(100)]
        for session in sessions:
            call(busy, "create_session", session, {Atom("lm"): lm})
            call(busy, "create_program", session, b"qa", b"question -> answer")
        ids = [
            busy.send_call("dspex_erl", "execute_program", [session, b"qa", {b"question": session + b" %d" % turn}])
            for session in sessions
            for turn in range(3)
        ]
        for id in ids:
            assert plain(busy.answer(id, timeout=LONG))["status"] == "executed"
        assert len(server.requests) == 300


def test_destroying_a_session_ends_what_runs_in_it(busy: Peer) -> None:
    forever = {Atom("model"): b"scripted", Atom("answers"): [{Atom("delay_ms"): 600_000, Atom("answer"): b"never"}]}
    call(busy, "create_session", b"s", {Atom("lm"): forever})
    call(busy, "create_program", b"s", b"qa", b"question -> answer")
    id = busy.send_call("dspex_erl", "execute_program", [b"s", b"qa", {b"question": b"Why?"}])
    while call(busy, "health_check")["in_flight"] == 0:
        pass
    call(busy, "destroy_session", b"s")
    with pytest.raises(RemoteError) as caught:
        busy.answer(id)
    assert caught.value.type == "dspex_erl.errors.Cancelled"


def test_cancelling_a_request(busy: Peer) -> None:
    with LMServer(latency=600) as server:
        lm = {b"model": b"openai/test", b"api_base": server.url.encode(), b"api_key": b"sk-test"}
        call(busy, "create_session", b"s", {b"lm": lm})
        call(busy, "create_program", b"s", b"qa", b"question -> answer")
        arguments = [b"s", b"qa", {b"question": b"Why?"}]
        id = busy.send_call("dspex_erl", "invoke", [b"execute_program", arguments, {b"request_id": b"r1"}])
        server.wait_for_requests(1)
        assert call(busy, "cancel", b"r1")["status"] == "cancelled"
        reply = plain(busy.answer(id))
        assert (reply["status"], reply["error"]["reason"]) == ("error", "cancelled")
        assert call(busy, "cancel", b"r1")["status"] == "not_found"
        # The request is not only forgotten: its socket is closed.
        server.wait_until_idle()


def test_a_deadline_stops_the_request(busy: Peer) -> None:
    with LMServer(latency=600) as server:
        lm = {b"model": b"openai/test", b"api_base": server.url.encode(), b"api_key": b"sk-test"}
        call(busy, "create_session", b"s", {b"lm": lm})
        call(busy, "create_program", b"s", b"qa", b"question -> answer")
        with pytest.raises(RemoteError) as caught:
            busy.call("dspex_erl", "execute_program", [b"s", b"qa", {b"question": b"Why?"}, {b"timeout": 100}])
        assert caught.value.type == "dspex_erl.errors.TimeoutExpired"
        server.wait_until_idle()


def test_envelopes(peer: Peer) -> None:
    lm = {b"model": b"echo"}
    envelope = {b"id": 1, b"command": b"create_session", b"args": {b"session_id": b"s", b"opts": {b"lm": lm}}}
    assert call(peer, "handle_message", envelope)["result"]["status"] == "created"
    args = {b"session_id": b"s", b"id": b"qa", b"signature": b"question -> answer"}
    assert call(peer, "handle_message", {b"id": 2, b"command": b"create_program", b"args": args})["id"] == 2
    args = {b"session_id": b"s", b"program_id": b"qa", b"inputs": {b"question": b"Why?"}}
    reply = call(peer, "handle_message", {b"id": 3, b"command": b"execute_program", b"args": args})
    assert (reply["id"], reply["result"]["result"]) == (3, {"answer": "Why?"})
    reply = call(peer, "handle_message", {b"message_id": b"m", b"request_type": b"health_check", b"payload": {}})
    assert (reply["message_id"], reply["status"], reply["payload"]["status"]) == ("m", "success", "healthy")
