"""Every row of the public functions: what it takes, what it gives, and what it refuses. In this process, on models that need no network."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import dspex_erl
from dspex_erl.api import bridge
from dspex_erl.bridge.dialect import plain
from dspex_erl.errors import (
    BadInput,
    BadRequest,
    BadSignature,
    LMParse,
    LMRefused,
    ProgramExists,
    ProgramLimit,
    ProgramNotFound,
    RateLimited,
    SessionExists,
    SessionNotFound,
    SnapshotInvalid,
    TimeoutExpired,
    UnknownModule,
)
from dspex_erl.programs import modules
from dspex_erl.terms import Atom, ByteAtom

NAMES = map("test session {}".format, itertools.count())
WHEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def session() -> Iterator[str]:
    """A session of the test's own, on the model that echoes."""
    name = next(NAMES)
    dspex_erl.create_session(name, {"lm": {"model": "echo"}})
    yield name
    dspex_erl.reset_state(name)
    dspex_erl.invoke("destroy_session", [name])


def scripted(*answers: Any) -> dict[str, Any]:
    return {"model": "scripted", "answers": list(answers)}


def checked(reply: Any, *names: str) -> Any:
    """The reply made plain, after a look at its form: atoms for keys, binaries for texts."""
    assert all(type(key) is Atom for key in reply), reply
    assert set(map(str, reply)) == {"status", *names}
    assert type(reply[Atom("status")]) is bytes
    return plain(reply)


class TestCreateSession:
    def test_reply(self) -> None:
        name = next(NAMES)
        reply = checked(dspex_erl.create_session(name.encode(), {Atom("user_id"): b"ada"}), "session_id", "created_at")
        assert (reply["status"], reply["session_id"]) == ("created", name)
        assert WHEN.fullmatch(reply["created_at"])
        dspex_erl.destroy_session(name)

    def test_a_second_one_is_refused(self, session: str) -> None:
        with pytest.raises(SessionExists):
            dspex_erl.create_session(session)

    @pytest.mark.parametrize(
        ("opts", "got"),
        [
            ({"colour": "red"}, "colour"),
            ({"ttl": 0}, "options.ttl"),
            ({"ttl": "long"}, "str"),
            ({"max_programs": 1.5}, "max_programs"),
            ({"lm": 3}, "lm"),
            ({"lm": {}}, "model"),
            ({"lm": {"model": "echo", "colour": 1}}, "colour"),
            ({"adapter": "telepathy"}, "adapter"),
            ({"config": {"temperature": "hot"}}, "temperature"),
            ({"limits": {"memory": 1}}, "limits"),
            ({"user_id": ["a"]}, "user_id"),
            ([1], "list"),
            (7, "int"),
        ],
    )
    def test_bad_options_make_no_session(self, opts: Any, got: str) -> None:
        name = next(NAMES)
        with pytest.raises(BadRequest, match=got):
            dspex_erl.create_session(name, opts)
        assert name.encode() not in dspex_erl.list_sessions()["sessions"]

    def test_atoms_and_binaries_name_the_same_session(self) -> None:
        dspex_erl.create_session(Atom("alice"))
        with pytest.raises(SessionExists):
            dspex_erl.create_session(b"alice")
        with pytest.raises(SessionExists):
            dspex_erl.create_session(ByteAtom("alice"))
        dspex_erl.destroy_session("alice")


class TestSessions:
    def test_destroy(self, session: str) -> None:
        dspex_erl.create_program(session, "qa", "question -> answer")
        assert checked(dspex_erl.destroy_session(session), "cleared_programs") == {"status": "destroyed", "cleared_programs": 1}
        with pytest.raises(SessionNotFound):
            dspex_erl.destroy_session(session)

    def test_list(self, session: str) -> None:
        mine = next(NAMES)
        dspex_erl.create_session(mine, {"user_id": "somebody"})
        reply = checked(dspex_erl.list_sessions(), "sessions", "count")
        assert {session, mine} <= set(reply["sessions"])
        assert reply["count"] == len(reply["sessions"])
        assert plain(dspex_erl.list_sessions({"user_id": "somebody"}))["sessions"] == [mine]
        dspex_erl.destroy_session(mine)

    def test_info(self, session: str) -> None:
        names = ("session_id", "user_id", "state", "created_at", "last_activity", "programs_count", "stats")
        reply = checked(dspex_erl.get_session_info(session), *names)
        assert (reply["session_id"], reply["user_id"], reply["state"], reply["programs_count"]) == (session, None, "running", 0)
        with pytest.raises(SessionNotFound):
            dspex_erl.get_session_info("nobody")

    def test_use_makes_a_session(self) -> None:
        name = next(NAMES)
        assert dspex_erl.list_programs(name)["count"] == 0
        assert dspex_erl.destroy_session(name)["status"] == b"destroyed"

    def test_configure_lm(self, session: str) -> None:
        reply = checked(dspex_erl.configure_lm(session, {"model": "openai/gpt-4o-mini", "api_key": "sk-secret"}), "model")
        assert reply == {"status": "configured", "model": "openai/gpt-4o-mini"}
        with pytest.raises(BadRequest):
            dspex_erl.configure_lm(session, {"model": 7})

    @pytest.mark.parametrize("id", [b"", b"a\n", b"x" * 256, 7, None, b"\xff", [97]])
    def test_ids_out_of_range(self, id: Any) -> None:
        for call in (dspex_erl.create_session, dspex_erl.destroy_session, dspex_erl.get_stats, dspex_erl.reset_programs):
            with pytest.raises(BadRequest):
                call(id)
        with pytest.raises(BadRequest):
            dspex_erl.create_program("default", id, "question -> answer")


class TestCreateProgram:
    def test_reply(self, session: str) -> None:
        names = ("program_id", "session_id", "worker_id", "signature", "fingerprint")
        reply = checked(dspex_erl.create_program(session, Atom("qa"), b"question -> answer: str, score: float"), *names)
        assert reply["status"] == "created"
        assert (reply["program_id"], reply["session_id"]) == ("qa", session)
        assert reply["signature"] == "question -> answer, score: float"
        assert re.fullmatch("[0-9a-f]{32}", reply["fingerprint"])

    @pytest.mark.parametrize(
        "spec",
        [
            b"question -> answer",
            {Atom("signature"): b"question -> answer"},
            {b"signature": {"inputs": [{"name": "question", "type": "str"}], "outputs": [{"name": "answer"}]}},
            {"inputs": [{"name": "question"}], "outputs": ["answer: str"]},
            {"input_fields": [{"name": "question"}], "output_fields": [{"name": "answer"}]},
        ],
    )
    def test_the_same_signature_in_other_words(self, session: str, spec: Any) -> None:
        expected = dspex_erl.create_program(session, "first", "question -> answer")["fingerprint"]
        assert dspex_erl.create_program(session, "second", spec)["fingerprint"] == expected

    def test_a_second_one_leaves_the_first_as_it_is(self, session: str) -> None:
        first = dspex_erl.create_program(session, "qa", "question -> answer")
        with pytest.raises(ProgramExists):
            dspex_erl.create_program(session, "qa", "a, b -> c")
        assert dspex_erl.get_program_info(session, "qa")["fingerprint"] == first["fingerprint"]

    @pytest.mark.parametrize(
        ("spec", "error", "got"),
        [
            ("question", BadSignature, ""),
            ("-> answer", BadSignature, ""),
            ("q, q -> a", BadSignature, "q"),
            ("*, q -> a", BadSignature, ""),
            ("x: this.s -> a", BadSignature, "this"),
            ("q: list[ -> a", BadSignature, ""),
            ("signature -> a", BadSignature, "signature"),
            ("a" * 100_000, BadSignature, ""),
            (7, BadRequest, "int"),
            ({}, BadSignature, "signature"),
            ({"signature": "q -> a", "colour": "red"}, BadRequest, "colour"),
            ({"signature": "q -> a", "module": "os.system"}, UnknownModule, "os.system"),
            ({"signature": "q -> a", "module": "subprocess:run"}, UnknownModule, "subprocess:run"),
            ({"signature": "q -> a", "module": 7}, UnknownModule, "int"),
            ({"signature": "q -> a", "module_args": {"x": 1}}, BadRequest, "'x'"),
            ({"signature": "q -> a", "module": "react", "module_args": {"max_iters": 0}}, BadRequest, "max_iters"),
            ({"signature": "q, trajectory -> a", "module": "react"}, BadSignature, "trajectory"),
            ({"signature": "q -> a", "config": {"temperature": 99}}, BadRequest, "temperature"),
            ({"signature": "q -> a", "demos": [{"x": 1}]}, BadRequest, "demos"),
            ({"signature": "q -> a", "instructions": 7}, BadRequest, "instructions"),
            ({"signature": "q -> a", "tools": ["search"]}, BadRequest, "tools"),
        ],
    )
    def test_bad_descriptions_make_no_program(self, session: str, spec: Any, error: type[Exception], got: str) -> None:
        with pytest.raises(error, match=re.escape(got) or None) as caught:
            dspex_erl.create_program(session, "qa", spec)
        assert len(str(caught.value)) < 600
        assert dspex_erl.list_programs(session)["count"] == 0

    def test_limit(self) -> None:
        name = next(NAMES)
        dspex_erl.create_session(name, {"max_programs": 1})
        dspex_erl.create_program(name, "a", "q -> a")
        with pytest.raises(ProgramLimit):
            dspex_erl.create_program(name, "b", "q -> a")
        dspex_erl.destroy_session(name)


class TestExecuteProgram:
    NAMES = ("program_id", "session_id", "worker_id", "result", "usage", "duration_ms", "cached")

    def test_reply(self, session: str) -> None:
        dspex_erl.create_program(session, "qa", "question -> answer")
        reply = checked(dspex_erl.execute_program(session, "qa", {"question": "Why?"}), *self.NAMES)
        assert (reply["status"], reply["result"], reply["cached"]) == ("executed", {"answer": "Why?"}, False)
        assert reply["usage"]["requests"] == 1
        assert reply["usage"]["total_tokens"] > 0
        assert reply["duration_ms"] > 0

    def test_atoms_in_atoms_out(self, session: str) -> None:
        dspex_erl.create_program(session, "qa", "question -> answer")
        result = dspex_erl.execute_program(session, "qa", {Atom("question"): b"Why?"})["result"]
        assert result == {Atom("answer"): b"Why?"}
        assert [type(key) for key in result] == [Atom]
        result = dspex_erl.execute_program(session, "qa", {b"question": b"Why?"})["result"]
        assert [type(key) for key in result] == [bytes]

    def test_typed_outputs(self, session: str) -> None:
        dspex_erl.configure_lm(session, scripted({"label": "no", "score": 0.5, "tags": ["a", "b"], "sure": True}))
        dspex_erl.create_program(session, "p", "text -> label: Literal['yes', 'no'], score: float, tags: list[str], sure: bool")
        result = plain(dspex_erl.execute_program(session, "p", {"text": "x"})["result"])
        assert result == {"label": "no", "score": 0.5, "tags": ["a", "b"], "sure": True}

    def test_a_second_time_the_cache_has_it(self, session: str) -> None:
        dspex_erl.create_program(session, "qa", "question -> answer")
        first, second = (dspex_erl.execute_program(session, "qa", {"question": "Why?"}) for _ in range(2))
        assert (first["cached"], second["cached"]) == (False, True)
        assert second["usage"]["requests"] == 0
        assert dspex_erl.get_stats(session)["cached_stats"] == {"hits": 1, "misses": 1}

    @pytest.mark.parametrize(
        ("inputs", "got"),
        [({}, "question"), ({"question": 7}, "question"), ({"question": "a", "more": 1}, "more"), ([], "list"), ("Why?", "str")],
    )
    def test_bad_inputs_reach_no_model(self, session: str, inputs: Any, got: str) -> None:
        dspex_erl.create_program(session, "qa", "question -> answer")
        with pytest.raises((BadInput, BadRequest), match=got):
            dspex_erl.execute_program(session, "qa", inputs)
        assert dspex_erl.get_stats(session)["usage"]["requests"] == 0

    def test_no_such_program(self, session: str) -> None:
        with pytest.raises(ProgramNotFound):
            dspex_erl.execute_program(session, "qa", {"question": "Why?"})

    def test_no_model(self) -> None:
        name = next(NAMES)
        dspex_erl.create_program(name, "qa", "question -> answer")
        with pytest.raises(BadRequest, match="configure_lm"):
            dspex_erl.execute_program(name, "qa", {"question": "Why?"})
        dspex_erl.destroy_session(name)

    @pytest.mark.parametrize("timeout", [0, -1, 1.5, "soon", True, 2**40])
    def test_bad_timeouts(self, session: str, timeout: Any) -> None:
        dspex_erl.create_program(session, "qa", "question -> answer")
        with pytest.raises(BadRequest, match="timeout"):
            dspex_erl.execute_program(session, "qa", {"question": "Why?"}, {"timeout": timeout})

    def test_no_timeout(self, session: str) -> None:
        dspex_erl.create_program(session, "qa", "question -> answer")
        assert (
            dspex_erl.execute_program(session, "qa", {"question": "Why?"}, {"timeout": Atom("infinity")})["status"] == b"executed"
        )

    def test_a_deadline(self, session: str) -> None:
        dspex_erl.configure_lm(session, scripted({"delay_ms": 60_000, "answer": "late"}))
        dspex_erl.create_program(session, "qa", "question -> answer")
        with pytest.raises(TimeoutExpired, match="20 ms"):
            dspex_erl.execute_program(session, "qa", {"question": "Why?"}, {"timeout": 20})
        assert dspex_erl.health_check()["in_flight"] == 0

    def test_a_model_that_refuses(self, session: str) -> None:
        dspex_erl.configure_lm(session, {**scripted({"error": "rate_limited", "retry_after_ms": 1500}), "num_retries": 0})
        dspex_erl.create_program(session, "qa", "question -> answer")
        with pytest.raises(RateLimited) as caught:
            dspex_erl.execute_program(session, "qa", {"question": "Why?"})
        assert caught.value.retry_after_ms == 1500

    def test_a_model_with_nothing_left_to_say(self, session: str) -> None:
        dspex_erl.configure_lm(session, scripted())
        dspex_erl.create_program(session, "qa", "question -> answer")
        with pytest.raises(LMRefused):
            dspex_erl.execute_program(session, "qa", {"question": "Why?"})

    def test_a_model_that_talks_nonsense(self, session: str) -> None:
        dspex_erl.configure_lm(session, scripted("blah", "blah"))
        dspex_erl.create_program(session, "qa", "question -> score: float")
        with pytest.raises(LMParse):
            dspex_erl.execute_program(session, "qa", {"question": "Why?"})
        assert dspex_erl.get_stats(session)["errors"] == 1

    def test_the_settings_of_a_call_win(self, session: str) -> None:
        dspex_erl.create_program(session, "qa", {"signature": "question -> answer", "config": {"temperature": 0.1}})
        dspex_erl.execute_program(session, "qa", {"question": "Why?"})
        assert dspex_erl.execute_program(session, "qa", {"question": "Why?"}, {"config": {"temperature": 0.9}})["cached"] is False
        assert dspex_erl.execute_program(session, "qa", {"question": "Why?"}, {"config": {"temperature": 0.1}})["cached"] is True

    @pytest.mark.parametrize("module", ["predict", "chain_of_thought", "react", "best_of_n", "refine", "multi_chain_comparison"])
    def test_modules(self, session: str, module: str) -> None:
        dspex_erl.create_program(session, "p", {"signature": "question -> answer", "module": module})
        reply = dspex_erl.execute_program(session, "p", {"question": "Why?"})
        assert b"answer" in reply["result"]
        assert dspex_erl.get_program_info(session, "p")["module"] == module.encode()


class TestPrograms:
    def test_list(self, session: str) -> None:
        for name in ("a", "b"):
            dspex_erl.create_program(session, name, "q -> a")
        assert checked(dspex_erl.list_programs(session), "programs", "count") == {
            "status": "listed",
            "programs": ["a", "b"],
            "count": 2,
        }

    def test_info(self, session: str) -> None:
        dspex_erl.create_program(session, "qa", "question -> answer")
        dspex_erl.execute_program(session, "qa", {"question": "Why?"})
        names = ("program_id", "signature", "module", "created_at", "executions", "compiled", "fingerprint")
        reply = checked(dspex_erl.get_program_info(session, "qa"), *names)
        assert (reply["module"], reply["executions"], reply["compiled"]) == ("predict", 1, False)
        with pytest.raises(ProgramNotFound):
            dspex_erl.get_program_info(session, "other")

    def test_delete_and_clear(self, session: str) -> None:
        dspex_erl.create_program(session, "a", "q -> a")
        dspex_erl.create_program(session, "b", "q -> a")
        assert checked(dspex_erl.delete_program(session, "a"), "program_id") == {"status": "deleted", "program_id": "a"}
        with pytest.raises(ProgramNotFound):
            dspex_erl.delete_program(session, "a")
        assert dspex_erl.clear_program(session, "a")["status"] == b"not_found"
        assert dspex_erl.clear_program(session, "b")["status"] == b"cleared"

    def test_reset_counts_what_there_was(self, session: str) -> None:
        for number in range(3):
            dspex_erl.create_program(session, f"p{number}", "q -> a")
        assert checked(dspex_erl.reset_programs(session), "cleared_programs") == {"status": "reset", "cleared_programs": 3}
        assert dspex_erl.reset_programs(session)["cleared_programs"] == 0

    def test_reset_state(self, session: str) -> None:
        dspex_erl.create_program(session, "qa", "question -> answer")
        dspex_erl.execute_program(session, "qa", {"question": "Why?"})
        names = ("cleared_programs", "cleared_sessions", "cleared_variables")
        reply = checked(dspex_erl.reset_state(session), *names)
        assert (reply["cleared_programs"], reply["cleared_sessions"]) == (1, 1)
        # Its model is as before, and its cache is empty.
        dspex_erl.create_program(session, "qa", "question -> answer")
        assert dspex_erl.execute_program(session, "qa", {"question": "Why?"})["cached"] is False

    def test_reset_of_all(self, session: str) -> None:
        dspex_erl.create_program(session, "a", "q -> a")
        other = next(NAMES)
        dspex_erl.create_program(other, "a", "q -> a")
        reply = dspex_erl.reset_state()
        assert reply["cleared_programs"] == 2
        assert reply["cleared_sessions"] >= 2
        dspex_erl.destroy_session(other)


class TestStatistics:
    def test_stats(self, session: str) -> None:
        names = (
            "session_id",
            "programs_count",
            "commands_processed",
            "programs_created",
            "errors",
            "cached_stats",
            "usage",
            "worker_id",
            "mode",
        )
        dspex_erl.create_program(session, "a", "q -> a")
        with pytest.raises(ProgramExists):
            dspex_erl.create_program(session, "a", "q -> a")
        reply = checked(dspex_erl.get_stats(session), *names)
        assert (reply["programs_count"], reply["programs_created"], reply["errors"], reply["commands_processed"]) == (1, 1, 1, 3)
        assert reply["mode"] == "standalone"

    def test_health(self, session: str) -> None:
        names = ["message", "version", "python", "dspy", "pid", "uptime_s", "sessions", "programs", "in_flight", "rss_bytes"]
        reply = checked(dspex_erl.health_check(), *names)
        assert reply["status"] == "healthy"
        assert reply["version"] == dspex_erl.__version__
        assert reply["rss_bytes"] > 1_000_000


class TestSnapshots:
    def test_there_and_back(self, session: str) -> None:
        dspex_erl.configure_lm(session, {"model": "echo", "temperature": 0.3})
        spec = {"signature": "question -> answer", "instructions": "Be brief.", "demos": [{"question": "a", "answer": "b"}]}
        dspex_erl.create_program(session, "qa", spec)
        snapshot = dspex_erl.export_session(session)["snapshot"]
        other = next(NAMES)
        assert checked(dspex_erl.import_session(other, snapshot), "programs_count") == {"status": "imported", "programs_count": 1}
        assert dspex_erl.get_program_info(other, "qa")["fingerprint"] == dspex_erl.get_program_info(session, "qa")["fingerprint"]
        assert dspex_erl.execute_program(other, "qa", {"question": "Why?"})["result"] == {b"answer": b"Why?"}
        again = dspex_erl.export_session(other)["snapshot"]
        assert plain(again)["programs"]["qa"]["spec"] == plain(snapshot)["programs"]["qa"]["spec"]
        dspex_erl.destroy_session(other)

    def test_a_state_is_data_and_names_no_attribute_of_its_own(self, session: str) -> None:
        dspex_erl.create_program(session, "qa", "question -> answer")
        snapshot = plain(dspex_erl.export_session(session)["snapshot"])
        state = bridge().registry.get(session).programs["qa"].built.module.dump_state()

        def with_state(changed: Any) -> Any:
            return {**snapshot, "programs": {"qa": {**snapshot["programs"]["qa"], "compiled": True, "state": changed}}}

        assert dspex_erl.import_session(session, with_state(state))["programs_count"] == 1
        assert dspex_erl.get_program_info(session, "qa")["compiled"] is True
        for changed in (
            {**state, "lm": {"model": "openai/gpt-4o-mini"}},
            {**state, "forward": 2},
            {**state, "config": {"temperature": 2}},
            {name: value for name, value in state.items() if name != "demos"},
            [],
        ):
            with pytest.raises(SnapshotInvalid):
                dspex_erl.import_session(session, with_state(changed))

    def test_no_key_is_in_it(self, session: str) -> None:
        dspex_erl.configure_lm(session, {"model": "openai/gpt-4o-mini", "api_key": "sk-secret-key"})
        assert b"sk-secret" not in repr(dspex_erl.export_session(session)).encode()

    @pytest.mark.parametrize(
        "change",
        [
            lambda snapshot: None,
            lambda snapshot: {},
            lambda snapshot: {**snapshot, "version": 99},
            lambda snapshot: {**snapshot, "programs": []},
            lambda snapshot: {**snapshot, "settings": {"colour": 1}},
            lambda snapshot: {**snapshot, "programs": {"qa": {**snapshot["programs"]["qa"], "fingerprint": "0" * 32}}},
            lambda snapshot: {
                **snapshot,
                "programs": {"qa": {**snapshot["programs"]["qa"], "spec": {"signature": "x: this.s -> a"}}},
            },
            lambda snapshot: {**snapshot, "programs": {"qa": {**snapshot["programs"]["qa"], "state": {"self": 1}}}},
            lambda snapshot: {**snapshot, "programs": {"q\n": snapshot["programs"]["qa"]}},
        ],
    )
    def test_what_does_not_match_changes_nothing(self, session: str, change: Any) -> None:
        dspex_erl.create_program(session, "qa", "question -> answer")
        snapshot = plain(dspex_erl.export_session(session)["snapshot"])
        with pytest.raises(SnapshotInvalid):
            dspex_erl.import_session(session, change(snapshot))
        assert dspex_erl.list_programs(session)["programs"] == [b"qa"]


class TestRegisteredModules:
    def test_only_what_was_registered(self, session: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        source = (
            "import dspy\n"
            "class Shout(dspy.Module):\n"
            "    def __init__(self, signature, mark='!'):\n"
            "        super().__init__()\n"
            "        self.predict, self.mark = dspy.Predict(signature), mark\n"
            "    def forward(self, **inputs):\n"
            "        return dspy.Prediction(answer=self.predict(**inputs).answer.upper() + self.mark)\n"
        )
        (tmp_path / "shouting.py").write_text(source, encoding="utf-8")
        # What is registered stays for the life of the process, which has other tests to run.
        monkeypatch.setattr(modules, "_registered", {})
        monkeypatch.syspath_prepend(str(tmp_path))
        spec = {"signature": "question -> answer", "module": "shout", "module_args": {"mark": "?!"}}
        with pytest.raises(UnknownModule):
            dspex_erl.create_program(session, "p", spec)
        dspex_erl.register_module("shout", "shouting:Shout")
        dspex_erl.register_module("shout", "shouting:Shout")
        dspex_erl.create_program(session, "p", spec)
        assert dspex_erl.execute_program(session, "p", {"question": "why"})["result"] == {b"answer": b"WHY?!"}
        with pytest.raises(BadRequest, match="no other module has"):
            dspex_erl.register_module("shout", "shouting:Other")
        with pytest.raises(BadRequest, match="module_args"):
            dspex_erl.create_program(session, "q", {**spec, "module_args": {"colour": 1}})

    @pytest.mark.parametrize(
        ("name", "path"), [("Bad Name", "a:B"), ("predict", "a:B"), ("ok", "os.system"), ("ok", "a;b:C"), (7, "a:B")]
    )
    def test_what_cannot_be_registered(self, name: Any, path: Any) -> None:
        with pytest.raises(BadRequest):
            dspex_erl.register_module(name, path)


class TestIdempotency:
    ASK = ("qa", {"question": "Why?"})

    def test_the_second_call_gets_the_reply_of_the_first(self, session: str) -> None:
        dspex_erl.configure_lm(session, {**scripted({"answer": "one"}, {"answer": "two"}), "cache": False})
        dspex_erl.create_program(session, "qa", "question -> answer")
        first, second = (dspex_erl.execute_program(session, *self.ASK, {"idempotency_key": "k"}) for _ in range(2))
        assert first == second
        assert dspex_erl.execute_program(session, *self.ASK, {"idempotency_key": "l"})["result"] == {b"answer": b"two"}

    def test_one_that_failed_can_be_tried_again(self, session: str) -> None:
        dspex_erl.configure_lm(session, {**scripted({"error": "lm_refused"}, {"answer": "two"}), "num_retries": 0})
        dspex_erl.create_program(session, "qa", "question -> answer")
        with pytest.raises(LMRefused):
            dspex_erl.execute_program(session, *self.ASK, {"idempotency_key": "k"})
        assert dspex_erl.execute_program(session, *self.ASK, {"idempotency_key": "k"})["result"] == {b"answer": b"two"}

    def test_a_call_that_never_began_can_be_tried_again(self, session: str) -> None:
        with pytest.raises(ProgramNotFound):
            dspex_erl.execute_program(session, *self.ASK, {"idempotency_key": "k"})
        dspex_erl.create_program(session, "qa", "question -> answer")
        assert dspex_erl.execute_program(session, *self.ASK, {"idempotency_key": "k"})["status"] == b"executed"

    def test_a_key_is_for_one_question(self, session: str) -> None:
        dspex_erl.create_program(session, "qa", "question -> answer")
        dspex_erl.execute_program(session, *self.ASK, {"idempotency_key": "k"})
        with pytest.raises(BadRequest, match="idempotency_key"):
            dspex_erl.execute_program(session, "qa", {"question": "How?"}, {"idempotency_key": "k"})

    def test_two_at_once_run_once(self, session: str) -> None:
        dspex_erl.configure_lm(session, scripted({"delay_ms": 300, "answer": "one"}))
        dspex_erl.create_program(session, "qa", "question -> answer")
        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(dspex_erl.execute_program, session, *self.ASK, {"idempotency_key": "k"}) for _ in range(4)]
        assert [call.result()["result"] for call in calls] == [{b"answer": b"one"}] * 4

    def test_a_reset_forgets(self, session: str) -> None:
        dspex_erl.create_program(session, "qa", "question -> answer")
        dspex_erl.execute_program(session, *self.ASK, {"idempotency_key": "k"})
        dspex_erl.reset_state(session)
        with pytest.raises(ProgramNotFound):
            dspex_erl.execute_program(session, *self.ASK, {"idempotency_key": "k"})

    @pytest.mark.parametrize("key", ["", 7, "k" * 256, ["k"]])
    def test_keys_that_are_none(self, session: str, key: Any) -> None:
        with pytest.raises(BadRequest, match="idempotency_key"):
            dspex_erl.execute_program(session, *self.ASK, {"idempotency_key": key})
