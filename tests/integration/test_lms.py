"""Language models through a real worker and real sockets: keys that stay apart and unseen, failures in the contract's words, many at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dspex_erl.bridge.dialect import plain
from dspex_erl.terms import Atom
from tests.lm_server import Fault, LMServer
from tests.peer import PATIENCE, Peer, RemoteError, text

LONG = 4 * PATIENCE
"""How long the first program of a worker may take: DSPy is imported for it."""

KEY = "sk-worker-0123456789abcdef"


@pytest.fixture(params=["serial", "concurrent"])
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    with Peer(*(() if request.param == "serial" else ("--concurrency", "1000"))) as made:
        yield made


@pytest.fixture
def busy() -> Iterator[Peer]:
    with Peer("--concurrency", "1000") as made:
        yield made


def call(peer: Peer, function: str, *args: Any) -> Any:
    return plain(peer.call("dspex_erl", function, args, timeout=LONG))


def refused(peer: Peer, function: str, *args: Any) -> RemoteError:
    with pytest.raises(RemoteError) as caught:
        call(peer, function, *args)
    return caught.value


def create(peer: Peer, session: bytes, server: LMServer, key: str = KEY, **more: Any) -> None:
    lm: dict[Any, Any] = {Atom("model"): b"openai/test", Atom("api_base"): server.url.encode(), Atom("api_key"): key.encode()}
    lm.update({Atom(name): value for name, value in more.items()})
    call(peer, "create_session", session, {Atom("lm"): lm})
    call(peer, "create_program", session, b"qa", b"question -> answer")


def question(text: str = "Why?") -> dict[Any, Any]:
    return {Atom("question"): text.encode()}


def test_two_users_of_one_server(peer: Peer) -> None:
    with LMServer() as server:
        for user in (b"alice", b"bob"):
            create(peer, user, server, f"key-of-{user.decode()}")
        replies = [call(peer, "execute_program", user, b"qa", question()) for user in (b"alice", b"bob", b"alice")]
        assert [seen.headers["authorization"] for seen in server.requests] == ["Bearer key-of-alice", "Bearer key-of-bob"]
    assert [reply["result"] for reply in replies] == [{"answer": "an answer"}] * 3
    # The same question of another user is asked again; of the same user it is found.
    assert [reply["cached"] for reply in replies] == [False, False, True]
    assert replies[0]["usage"]["total_tokens"] == 18
    assert replies[2]["usage"]["total_tokens"] == 0


def test_another_model_does_not_find_the_answers_of_the_first(peer: Peer) -> None:
    with LMServer(answers=["[[ ## answer ## ]]\nfirst"]) as first, LMServer(answers=["[[ ## answer ## ]]\nsecond"]) as second:
        create(peer, b"s", first)
        assert call(peer, "execute_program", b"s", b"qa", question())["result"] == {"answer": "first"}
        lm = {Atom("model"): b"openai/test", Atom("api_base"): second.url.encode(), Atom("api_key"): b"k2-00000000"}
        assert call(peer, "configure_lm", b"s", lm)["model"] == "openai/test"
        assert call(peer, "execute_program", b"s", b"qa", question())["result"] == {"answer": "second"}
        # Nothing of the first model stays open.
        first.wait_until_idle()


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (Fault(401, f"Incorrect API key provided: {KEY}"), "LMAuth"),
        (Fault(403, f"Forbidden for Bearer {KEY}"), "LMAuth"),
        (Fault(400, f"no, {KEY}"), "LMRefused"),
        (Fault(500, f"crashed with {KEY}"), "LMUnavailable"),
        (Fault(cut=10), "LMUnavailable"),
    ],
)
def test_a_key_is_never_shown(busy: Peer, fault: Fault, name: str) -> None:
    with LMServer(answers=[fault, fault]) as server:
        create(busy, b"s", server, num_retries=0)
        error = refused(busy, "execute_program", b"s", b"qa", question())
        reply = call(busy, "invoke", b"execute_program", [b"s", b"qa", question()], {Atom("traceback"): True})
    assert error.type == f"dspex_erl.errors.{name}"
    assert "execution.py" in reply["error"]["traceback"]
    about = [call(busy, "get_session_info", b"s"), call(busy, "get_stats", b"s"), call(busy, "export_session", b"s")]
    for shown in (str(error), repr(error.error), repr(reply), repr(about), busy.stderr):
        assert KEY not in shown
        assert KEY[3:] not in shown


def test_when_to_come_back(peer: Peer) -> None:
    with LMServer(answers=[Fault(429, "slow down", {"Retry-After": "3000"})] * 2) as server:
        create(peer, b"s", server)
        # The run has 120 seconds, so that waiting for an hour is no use: the caller is told at once.
        assert refused(peer, "execute_program", b"s", b"qa", question()).type == "dspex_erl.errors.RateLimited"
        reply = call(peer, "invoke", b"execute_program", [b"s", b"qa", question()], {})
        assert len(server.requests) == 2
    assert reply["error"]["reason"] == "rate_limited"
    assert reply["error"]["retry_after_ms"] == 3_000_000


def test_a_deadline(peer: Peer) -> None:
    with LMServer(held=True) as server:
        create(peer, b"s", server)
        error = refused(peer, "execute_program", b"s", b"qa", question(), {Atom("timeout"): 50})
        assert error.type == "dspex_erl.errors.TimeoutExpired"
        # Nobody waits for the answer any more.
        server.wait_until_idle()


def test_a_destroyed_session_hangs_up(busy: Peer) -> None:
    with LMServer(held=True) as server:
        create(busy, b"s", server)
        running = busy.send_call("dspex_erl", "execute_program", [b"s", b"qa", question()])
        server.wait_for_requests(1)
        call(busy, "destroy_session", b"s")
        with pytest.raises(RemoteError) as caught:
            busy.answer(running)
        assert caught.value.type == "dspex_erl.errors.Cancelled"
        server.wait_until_idle()


def test_a_run_keeps_the_model_that_it_began_with(busy: Peer) -> None:
    with LMServer(held=True) as server:
        create(busy, b"s", server)
        running = busy.send_call("dspex_erl", "execute_program", [b"s", b"qa", question()])
        server.wait_for_requests(1)
        call(busy, "configure_lm", b"s", {Atom("model"): b"echo"})
        server.release()
        assert plain(busy.answer(running))["result"] == {"answer": "an answer"}
        assert call(busy, "execute_program", b"s", b"qa", question("echo"))["result"] == {"answer": "echo"}
        server.wait_until_idle()


def test_hundreds_of_requests_in_flight(busy: Peer) -> None:
    """All of them have come before the first is answered."""
    sessions, calls = 20, 12
    with LMServer(held=True) as server:
        for number in range(sessions):
            create(busy, b"s%d" % number, server, f"key-number-{number:03}")
        sent = {
            (number, turn): busy.send_call("dspex_erl", "execute_program", [b"s%d" % number, b"qa", question(f"{number}/{turn}")])
            for number in range(sessions)
            for turn in range(calls)
        }
        server.wait_for_requests(sessions * calls)
        server.release()
        assert all(plain(busy.answer(id, timeout=LONG))["result"] == {"answer": "an answer"} for id in sent.values())
        for seen in server.requests:
            number = seen.headers["authorization"].rpartition("-")[2]
            assert f"{int(number)}/" in str(seen.body["messages"])


def test_neither_litellm_nor_a_cache_on_the_disk(peer: Peer) -> None:
    with LMServer() as server:
        create(peer, b"s", server)
        call(peer, "execute_program", b"s", b"qa", question())
    names = peer.call(
        "builtins", "eval", [b"[name for name in __import__('sys').modules if name in ('litellm.main', 'diskcache')]"]
    )
    assert [text(name) for name in names] == []
