"""Our engine against a server with real sockets: what is sent, to whom, with which key, and how calls end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import dspy
import pytest
from dspy.lm15 import Message, Request, TextPart

from dspex_erl.errors import BadRequest, LMAuth
from dspex_erl.programs.adapters import build_adapter
from dspex_erl.programs.lms.build import Model, build_model
from dspex_erl.programs.lms.deadline import Deadline, GiveUp, Late
from dspex_erl.programs.lms.spec import parse_lm
from dspex_erl.programs.ready import dspy_module
from dspex_erl.programs.schema import dspy_signature
from dspex_erl.programs.signature import parse_signature
from tests.lm_server import Fault, LMServer

dspy_module()

KEY = "sk-test-0123456789abcdef"
USUAL = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_BASE", "OPENAI_BASE_URL")
FOREVER = 3600.0


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in USUAL:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def build() -> Iterator[Callable[..., Model]]:
    made: list[Model] = []

    def make(server: LMServer, **more: Any) -> Model:
        model = build_model(parse_lm({"model": "openai/test", "api_base": server.url, "api_key": KEY, "num_retries": 0, **more}))
        made.append(model)
        return model

    yield make
    for model in made:
        model.close()


def settings(model: Model, adapter: str = "chat", **more: Any) -> Any:
    return dspy.context(lm=model.lm, adapter=build_adapter(adapter), trace=[], disable_history=True, **more)


def program(text: str = "question -> answer") -> Any:
    return dspy.Predict(dspy_signature(parse_signature(text)))


def ask(model: Model, **more: Any) -> Any:
    with settings(model, **more):
        return program()(question="Why?").answer


async def aask(model: Model, **more: Any) -> Any:
    with settings(model, **more):
        return (await program().acall(question="Why?")).answer


@pytest.fixture(params=["thread", "loop"])
def asked(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """One question, on a thread or on an event loop."""
    if request.param == "thread":
        return ask
    return lambda model, **more: asyncio.run(aask(model, **more))


class TestRequests:
    def test_the_answer(self, asked: Any, build: Any) -> None:
        with LMServer() as server:
            assert asked(build(server, temperature=0.5, max_tokens=7, stop=["x"])) == "an answer"
            (seen,) = server.requests
        assert seen.headers["authorization"] == f"Bearer {KEY}"
        assert seen.body["model"] == "test"
        assert seen.body["temperature"] == 0.5
        assert seen.body["stop"] == ["x"]
        assert 7 in (seen.body.get("max_tokens"), seen.body.get("max_completion_tokens"))
        assert "Why?" in str(seen.body["messages"])

    def test_other_settings_for_one_call(self, build: Any) -> None:
        with LMServer() as server:
            model = build(server, temperature=0.5)
            variant = model.configured({"temperature": 0.9, "stop": ["a", "b"]})
            assert variant is model.configured({"stop": ["a", "b"], "temperature": 0.9})
            assert model.configured({}) is model.lm
            with dspy.context(lm=variant, trace=[], disable_history=True):
                program()(question="Why?")
            ask(model)
            assert [seen.body["temperature"] for seen in server.requests] == [0.9, 0.5]

    def test_a_schema_goes_along_where_the_model_takes_one(self, asked: Any, build: Any) -> None:
        with LMServer() as server:
            assert asked(build(server, model="openai/gpt-4o-mini"), adapter="json") == "an answer"
            (seen,) = server.requests
        assert set(seen.body["response_format"]["json_schema"]["schema"]["properties"]) == {"answer"}

    def test_another_dialect(self, build: Any) -> None:
        with LMServer(answers=[Fault(529, "overloaded")]) as server:
            with pytest.raises(dspy.LMError):
                ask(build(server, model="anthropic/claude-x"))
            (seen,) = server.requests
        assert seen.headers["x-api-key"] == KEY
        assert "authorization" not in seen.headers

    def test_connections_are_kept(self, build: Any) -> None:
        with LMServer() as server:
            model = build(server, cache=False)
            for _ in range(5):
                ask(model)

            async def several() -> None:
                for _ in range(5):
                    await aask(model)

            asyncio.run(several())
            assert server.connections == 2

    def test_many_at_once(self, build: Any) -> None:
        """More than DSPy's own pool has connections: all of them have come before the first is answered."""
        count = 150
        with LMServer(held=True) as server:
            model = build(server, cache=False)

            async def all_at_once() -> list[str]:
                tasks = [asyncio.ensure_future(aask(model)) for _ in range(count)]
                await asyncio.to_thread(server.wait_for_requests, count)
                server.release()
                return await asyncio.gather(*tasks)

            assert asyncio.run(all_at_once()) == ["an answer"] * count

    def test_loops_come_and_go(self, build: Any) -> None:
        with LMServer() as server:
            model = build(server, cache=False)
            for _ in range(3):
                asyncio.run(aask(model))
                gc.collect()
            asyncio.run(aask(model))
            # Of those that are closed at most the last one is still known.
            assert len(model.lm._async_engine_spec._shared) == 1


class TestKeys:
    def test_by_the_name_of_a_variable(self, build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SOME_KEY", f" {KEY}-2\n")
        with LMServer() as server:
            ask(build(server, api_key=None, api_key_env="SOME_KEY"))
            assert server.requests[0].headers["authorization"] == f"Bearer {KEY}-2"

    @pytest.mark.parametrize("value", [None, "", "  ", "a\x01b", "schlüssel"])
    def test_a_variable_without_a_key(self, value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SOME_KEY", raising=False)
        if value is not None:
            monkeypatch.setenv("SOME_KEY", value)
        with pytest.raises(LMAuth, match="SOME_KEY") as caught:
            build_model(parse_lm({"model": "openai/test", "api_key_env": "SOME_KEY"}))
        assert not value or not value.strip() or value not in str(caught.value)

    def test_the_usual_variable_is_read_if_nothing_is_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(LMAuth, match="OPENAI_API_KEY"):
            build_model(parse_lm("openai/test"))
        monkeypatch.setenv("OPENAI_API_KEY", "usual-key-of-this-machine")
        model = build_model(parse_lm("openai/test"))
        assert model.secrets == ("usual-key-of-this-machine",)
        assert "usual-key" not in repr(model)
        model.close()

    def test_the_usual_key_is_not_sent_to_another_server(self, build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "usual-key-of-this-machine")
        with LMServer() as server:
            ask(build(server, api_key=None))
            assert "usual-key" not in str(server.requests[0].headers)

    def test_an_address_in_the_environment_is_not_used(self, build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_BASE", "http://127.0.0.1:9")
        monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
        with LMServer() as server:
            assert ask(build(server)) == "an answer"

    def test_two_models_do_not_share_keys(self, build: Any) -> None:
        with LMServer() as server:
            one, other = build(server, api_key="first-key"), build(server, api_key="second-key")
            ask(one), ask(other), ask(one)
            assert [seen.headers["authorization"][7:] for seen in server.requests] == ["first-key", "second-key", "first-key"]


class TestModels:
    def test_nobody_serves_it(self) -> None:
        with pytest.raises(BadRequest, match="nosuch/model"):
            build_model(parse_lm({"model": "nosuch/model", "api_key": KEY}))

    def test_settings_that_it_does_not_take(self) -> None:
        with pytest.raises(BadRequest, match="openai/o3") as caught:
            build_model(parse_lm({"model": "openai/o3", "api_key": KEY, "temperature": 0.5}))
        assert KEY not in str(caught.value)

    @pytest.mark.filterwarnings("ignore")  # LiteLLM's own, of its own code
    def test_only_litellm_can_reach_it(self, asked: Any, build: Any) -> None:
        with LMServer() as server:
            assert asked(build(server, model="together_ai/some/model")) == "an answer"
            (seen,) = server.requests
        assert seen.headers["authorization"] == f"Bearer {KEY}"
        assert seen.body["model"] == "some/model"


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "kind"),
        [
            (Fault(401, f"Incorrect API key provided: {KEY}"), dspy.LMAuthError),
            (Fault(402, "pay"), dspy.LMBillingError),
            (Fault(400, "no"), dspy.LMInvalidRequestError),
            (Fault(404, "no such model"), dspy.LMError),
            (Fault(429, "slow down"), dspy.LMRateLimitError),
            (Fault(500, "sorry"), dspy.LMServerError),
            (Fault(503, "sorry"), dspy.LMServerError),
            (Fault(cut=0), dspy.LMTransportError),
            (Fault(cut=10), dspy.LMTransportError),
            (Fault(cut=80), dspy.LMTransportError),
        ],
    )
    def test_kinds(self, asked: Any, build: Any, fault: Fault, kind: type[Exception]) -> None:
        with LMServer(answers=[fault]) as server, pytest.raises(kind):
            asked(build(server))

    def test_nobody_listens(self, asked: Any, build: Any) -> None:
        with LMServer() as server:
            pass
        with pytest.raises(dspy.LMTransportError):
            asked(build(server))

    def test_when_to_come_back(self, asked: Any, build: Any) -> None:
        with (
            LMServer(answers=[Fault(429, "slow down", {"Retry-After": "7"})]) as server,
            pytest.raises(dspy.LMRateLimitError) as caught,
        ):
            asked(build(server))
        assert caught.value.retry_after == 7

    def test_trying_again(self, asked: Any, build: Any) -> None:
        soon = {"Retry-After": "0"}
        with LMServer(answers=[Fault(429, "slow", soon), Fault(503, "sorry", soon)]) as server:
            assert asked(build(server, num_retries=2)) == "an answer"
            assert len(server.requests) == 3

    def test_no_answer_in_time(self, asked: Any, build: Any) -> None:
        with LMServer(held=True) as server, pytest.raises(dspy.LMTransportError):
            asked(build(server, timeout_s=0.05))


class TestSecrets:
    """DSPy shows the errors of an engine as they are: it prints why an attempt failed, and logs why it tries again."""

    @pytest.mark.parametrize(
        "fault",
        [
            Fault(401, f"Incorrect API key provided: {KEY}"),
            Fault(400, f"no, {KEY}"),
            Fault(404, f"no such model for {KEY}"),
            Fault(429, f"slow down, {KEY}", {"X-Request-Id": KEY, "X-RateLimit-Limit-Requests": KEY}),
            Fault(500, f"crashed with {KEY}", {"X-Request-Id": KEY}),
            Fault(200, f"not an answer but {KEY}"),
        ],
    )
    def test_no_error_shows_the_key(self, asked: Any, build: Any, fault: Fault) -> None:
        with LMServer(answers=[fault]) as server, pytest.raises(dspy.LMError) as caught:
            asked(build(server))
        assert KEY not in "".join(traceback.format_exception(caught.value))
        error: BaseException | None = caught.value
        while error is not None:
            assert KEY not in repr(error)
            assert KEY not in repr(vars(error))
            error = error.__cause__ or error.__context__

    @pytest.mark.parametrize("kind", ["BestOfN", "Refine"])
    def test_what_dspy_prints(self, build: Any, capsys: pytest.CaptureFixture[str], kind: str) -> None:
        with LMServer(answers=[Fault(401, f"Incorrect API key provided: {KEY}")] * 2) as server:
            attempts = getattr(dspy, kind)(program(), N=2, reward_fn=lambda inputs, made: 1.0, threshold=1.0)
            with settings(build(server)), contextlib.suppress(dspy.LMError):
                attempts(question="Why?")
            assert len(server.requests) == 2
        printed = capsys.readouterr()
        assert "Incorrect API key provided: ***" in printed.out
        assert KEY not in printed.out + printed.err

    def test_an_error_of_the_caller_stays_as_it_is(self, asked: Any, build: Any) -> None:
        mine = ValueError(f"mine, with {KEY}, " + "and long " * 100)
        said = str(mine)
        with LMServer(answers=[Fault(401, KEY)]) as server:
            try:
                raise mine
            except ValueError:
                model = build(server)
                with pytest.raises(dspy.LMAuthError):
                    asked(model)
        assert str(mine) == said

    def test_an_error_that_leaves_the_run(self, asked: Any, build: Any) -> None:
        with LMServer(answers=[Fault(429, KEY, {"Retry-After": "3000"})]) as server, pytest.raises(GiveUp) as caught:
            asked(build(server, num_retries=3), deadline=Deadline(time.monotonic() + 1000))
        assert KEY not in str(caught.value.error)


class TestDeadline:
    def test_a_server_that_takes_too_long(self, build: Any) -> None:
        with LMServer(held=True) as server:
            model = build(server, num_retries=3)
            with pytest.raises((Late, GiveUp)):
                ask(model, deadline=Deadline(time.monotonic() + 0.05))

    def test_a_server_that_trickles(self, build: Any) -> None:
        """Every byte comes in time, the answer does not."""
        with LMServer(answers=[Fault(trickle=0.02)]) as server:
            model = build(server)
            with pytest.raises(Late):
                ask(model, deadline=Deadline(time.monotonic() + 0.2))
            server.wait_until_idle()

    def test_no_time_to_try_again(self, asked: Any, build: Any) -> None:
        with LMServer(answers=[Fault(429, "slow down", {"Retry-After": "3000"})]) as server:
            model = build(server, num_retries=3)
            with pytest.raises(GiveUp) as caught:
                asked(model, deadline=Deadline(time.monotonic() + 1000))
        assert caught.value.error.retry_after == 3000  # type: ignore[attr-defined]

    def test_what_is_in_time(self, asked: Any, build: Any) -> None:
        with LMServer() as server:
            assert asked(build(server), deadline=Deadline(time.monotonic() + FOREVER)) == "an answer"
            assert asked(build(server), deadline=Deadline(None)) == "an answer"

    def test_cancelling_closes_the_connection(self, build: Any) -> None:
        with LMServer(held=True) as server:
            model = build(server)

            async def cancelled() -> None:
                task = asyncio.ensure_future(aask(model))
                await asyncio.to_thread(server.wait_for_requests, 1)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await asyncio.to_thread(server.wait_until_idle)

            asyncio.run(cancelled())


class TestClose:
    def test_idle_connections_are_closed(self, build: Any) -> None:
        with LMServer() as server:
            model = build(server)

            async def used() -> None:
                await aask(model)
                await asyncio.to_thread(ask, model, cache=None)
                model.close()
                await asyncio.to_thread(server.wait_until_idle)

            asyncio.run(used())
            model.close()

    def test_a_call_in_flight_comes_to_its_end(self, build: Any) -> None:
        with LMServer(held=True) as server:
            model = build(server)
            said: list[Any] = []
            thread = threading.Thread(target=lambda: said.append(ask(model)))
            thread.start()

            async def on_a_loop() -> None:
                task = asyncio.ensure_future(aask(model))
                await asyncio.to_thread(server.wait_for_requests, 2)
                model.close()
                server.release()
                said.append(await task)

            asyncio.run(on_a_loop())
            thread.join()
            assert said == ["an answer"] * 2
            server.wait_until_idle()

    def test_a_run_of_several_requests_keeps_its_model(self, asked: Any, build: Any) -> None:
        with LMServer() as server:
            model = build(server, cache=False)
            model.close()
            assert [asked(model) for _ in range(2)] == ["an answer"] * 2
            server.wait_until_idle()

    def test_after_its_loop(self, build: Any) -> None:
        with LMServer() as server:
            model = build(server)
            asyncio.run(aask(model))
            model.close()
            server.wait_until_idle()


def test_a_request_without_an_adapter(build: Any) -> None:
    with LMServer() as server:
        model = build(server)
        request = Request(model="openai/test", messages=(Message.user([TextPart("Respond with [[ ## x ## ]]")]),))
        assert "an answer" in model.lm.engine.complete(request).message.text
