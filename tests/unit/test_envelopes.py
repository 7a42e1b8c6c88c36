"""Commands as data: every envelope is answered, with its id, whatever is in it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dspex_erl
from dspex_erl.bridge.dialect import plain
from dspex_erl.envelopes import COMMANDS
from dspex_erl.errors import BadRequest, UnknownCommand
from dspex_erl.terms import Atom


def answer(message: Any) -> Any:
    return plain(dspex_erl.handle_message(message))


class TestHandleCommand:
    def test_unknown(self) -> None:
        for name in ("dance", b"dance", Atom("dance"), "__class__", "bridge"):
            with pytest.raises(UnknownCommand):
                dspex_erl.handle_command(name, {})
        with pytest.raises(UnknownCommand, match="int"):
            dspex_erl.handle_command(7)

    @pytest.mark.parametrize("args", [{}, [], None])
    def test_the_session_is_the_default_one(self, args: Any) -> None:
        assert dspex_erl.handle_command("get_stats", args)["session_id"] == b"default"

    def test_a_missing_part(self) -> None:
        with pytest.raises(BadRequest, match="program_id"):
            dspex_erl.handle_command("delete_program", {})
        with pytest.raises(BadRequest, match="a map"):
            dspex_erl.handle_command("delete_program", [1])

    def test_every_public_function_is_a_command(self) -> None:
        others = {"cancel", "handle_command", "handle_message", "invoke", "register_module", "register_reward"}
        assert set(COMMANDS) == set(dspex_erl.__all__) - others


class TestHandleMessage:
    @pytest.mark.parametrize("id", [7, b"x", Atom("a"), (1, 2), None, 2**70])
    def test_the_id_comes_back(self, id: Any) -> None:
        assert dspex_erl.handle_message({"id": id, "command": "health_check"})["id"] == (Atom("nil") if id is None else id)
        assert dspex_erl.handle_message({"id": id, "command": "dance"})["id"] == (Atom("nil") if id is None else id)

    @pytest.mark.parametrize(
        ("message", "reason"),
        [
            ({"id": 1}, "bad_request"),
            ({"id": 1, "command": "dance"}, "unknown_command"),
            ({"id": 1, "command": "delete_program", "args": {}}, "bad_request"),
            ({"id": 1, "command": "delete_program", "args": {"id": "nothing"}}, "program_not_found"),
            ({"message_id": 1}, "bad_request"),
            ({"message_id": 1, "request_type": "dance"}, "unknown_command"),
            (7, "bad_request"),
            ([], "bad_request"),
        ],
    )
    def test_errors(self, message: Any, reason: str) -> None:
        assert answer(message)["error"]["reason"] == reason

    def test_a_message(self) -> None:
        reply = answer({b"message_id": b"m1", b"request_type": b"health_check", b"payload": {}, b"metadata": {b"source": b"x"}})
        assert (reply["message_id"], reply["status"], reply["payload"]["status"]) == ("m1", "success", "healthy")
        assert reply["metadata"] == {"source": "dspex_erl", "version": dspex_erl.__version__}

    TERMS = st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.binary(max_size=20)
        | st.text(max_size=10).map(lambda text: text.encode("utf-8", "ignore")),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=8), inner, max_size=4),
        max_leaves=12,
    )

    @settings(max_examples=200, deadline=None)
    @given(st.sampled_from(sorted(COMMANDS.keys() - {"shutdown", "reset_state"})), TERMS)
    def test_anything_is_answered(self, command: str, args: Any) -> None:
        reply = answer({"id": 1, "command": command, "args": args})
        assert reply["id"] == 1
        assert ("result" in reply) != ("error" in reply)


class TestInvoke:
    def test_ok(self) -> None:
        reply = plain(dspex_erl.invoke(b"get_stats", [b"somebody"], {Atom("request_id"): b"r"}))
        assert (reply["status"], reply["value"]["session_id"]) == ("ok", "somebody")

    def test_an_error_has_all_its_fields(self) -> None:
        meta = {"request_id": "r", "attempt": 2, "traceback": True}
        error = plain(dspex_erl.invoke("delete_program", ["s", "p"], meta))["error"]
        assert set(error) == {"reason", "error_type", "message", "context", "recovery_strategy", "retry_after_ms", "traceback"}
        assert (error["reason"], error["error_type"], error["recovery_strategy"]) == ("program_not_found", "bad_request", "fatal")
        assert {key: error["context"][key] for key in ("session_id", "program_id", "request_id", "attempt")} == {
            "session_id": "s",
            "program_id": "p",
            "request_id": "r",
            "attempt": 2,
        }
        assert "registry.py" in error["traceback"]

    @pytest.mark.parametrize(
        ("name", "args", "meta", "reason"),
        [
            ("dance", [], {}, "unknown_command"),
            ("get_stats", [], {}, "bad_request"),
            ("get_stats", [1, 2], {}, "bad_request"),
            ("get_stats", 7, {}, "bad_request"),
            ("get_stats", ["s"], 7, "bad_request"),
            ("get_stats", ["s"], {"request_id": 7}, "bad_request"),
            ("delete_program", ["s", 7], {}, "bad_request"),
        ],
    )
    def test_errors(self, name: Any, args: Any, meta: Any, reason: str) -> None:
        reply = plain(dspex_erl.invoke(name, args, meta))
        assert (reply["status"], reply["error"]["reason"]) == ("error", reason)

    def test_no_traceback_unless_asked_for(self) -> None:
        assert plain(dspex_erl.invoke("delete_program", ["s", "p"]))["error"]["traceback"] is None
