"""The models of tests: what they say, how they fail, and that they can be used from everywhere at once."""

from __future__ import annotations

import asyncio
import contextvars
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dspy
import pytest
from dspy.lm15 import Message, Request, TextPart

from dspex_erl.programs.adapters import ADAPTERS, build_adapter
from dspex_erl.programs.lms.build import Model, build_model
from dspex_erl.programs.lms.deadline import Deadline, GiveUp, Late
from dspex_erl.programs.lms.spec import parse_lm
from dspex_erl.programs.ready import dspy_module
from dspex_erl.programs.schema import dspy_signature
from dspex_erl.programs.signature import parse_signature
from dspex_erl.programs.values import plain_result

dspy_module()

TYPES = [
    "str",
    "int",
    "float",
    "bool",
    "any",
    "date",
    "datetime",
    "time",
    "Decimal",
    "Code['python']",
    "str | None",
    "int | None",
    "int | str",
    "Literal['no', 'yes']",
    "Literal[3, True]",
    "list[str]",
    "list[int]",
    "list",
    "dict[str, float]",
    "dict[int, str]",
    "dict",
    "tuple[str, int]",
    "{name: str, age: int}",
    "list[{name: str, born: date, nick: str | None}]",
]
TEXTS = ["42", "", "yes", "two words", "two\nlines", "<b> & 'quotes\" {x} [[1]]", "1e999", "nan", "9" * 5000, "héllo ☃"]


def settings(model: Model, adapter: str = "chat", **more: Any) -> Any:
    return dspy.context(
        lm=model.lm, adapter=build_adapter(adapter), callbacks=list(model.callbacks), trace=[], disable_history=True, **more
    )


def model(*answers: Any, **more: Any) -> Model:
    return build_model(parse_lm({"model": "scripted", "answers": list(answers), **more}))


def program(text: str) -> Any:
    return dspy.Predict(dspy_signature(parse_signature(text)))


class TestEcho:
    @pytest.mark.parametrize("adapter", ADAPTERS)
    @pytest.mark.parametrize("kind", TYPES)
    def test_every_type_through_every_adapter(self, adapter: str, kind: str) -> None:
        signature = parse_signature(f"q -> first: {kind}, second: str")
        predict = dspy.Predict(dspy_signature(signature))
        echo = build_model(parse_lm("echo"))
        for text in TEXTS:
            with settings(echo, adapter):
                result = plain_result(signature, dict(predict(q=text).items()))
            assert set(result) == {"first", "second"}
            if adapter != "completion" or "\n" not in text:
                assert result["second"] == text

    @pytest.mark.parametrize(
        ("kind", "text", "value"),
        [
            ("str", "hello", "hello"),
            ("int", "42", 42),
            ("int", "hello", 5),
            ("float", "2.5", 2.5),
            ("bool", "hello", True),
            ("Literal['no', 'yes']", "yes", "yes"),
            ("Literal['no', 'yes']", "maybe", "no"),
            ("list[str]", "hello", ["hello"]),
            ("{name: str, age: int}", "hello", {"name": "hello", "age": 5}),
            ("int | None", "7", 7),
        ],
    )
    def test_what_it_says(self, kind: str, text: str, value: Any) -> None:
        signature = parse_signature(f"q -> answer: {kind}")
        with settings(build_model(parse_lm("echo"))):
            assert plain_result(signature, dict(dspy.Predict(dspy_signature(signature))(q=text).items())) == {"answer": value}

    def test_inputs_are_joined(self) -> None:
        with settings(build_model(parse_lm("echo"))):
            assert program("a, b: list[int] -> c")(a="x", b=[1, 2]).c == "x [1, 2]"

    def test_a_chain_of_thought(self) -> None:
        with settings(build_model(parse_lm("echo"))):
            made = dspy.ChainOfThought(dspy_signature(parse_signature("q -> answer")))(q="x")
        assert (made["reasoning"], made["answer"]) == ("x", "x")

    def test_a_request_that_no_adapter_has_made(self) -> None:
        echo = build_model(parse_lm("echo"))
        request = Request(model="dspex/echo", messages=(Message.user([TextPart("two words")]),))
        response = contextvars.Context().run(echo.lm.engine.complete, request)
        assert response.message.text == "{}"


class TestScripted:
    @pytest.mark.parametrize("adapter", ADAPTERS)
    def test_fields_in_the_format_of_every_adapter(self, adapter: str) -> None:
        with settings(model({"answer": "<fine> & well", "score": 0.5}), adapter):
            made = program("q -> answer, score: float")(q="x")
        assert dict(made.items()) == {"answer": "<fine> & well", "score": 0.5}

    def test_raw_text(self) -> None:
        with settings(model("[[ ## answer ## ]]\nraw\n\n[[ ## completed ## ]]")):
            assert program("q -> answer")(q="x").answer == "raw"

    def test_answers_come_in_order_then_it_refuses(self) -> None:
        given = model({"answer": "1"}, {"answer": "2"})
        predict = program("q -> answer")
        with settings(given):
            assert [predict(q="x").answer for _ in range(2)] == ["1", "2"]
            with pytest.raises(dspy.LMInvalidRequestError, match="the script has 2 answers"):
                predict(q="x")

    def test_what_cannot_be_read_is_no_empty_script(self) -> None:
        with settings(model("nonsense")), pytest.raises(dspy.AdapterParseError):
            program("q -> answer")(q="x")
        with settings(model("nonsense", '{"answer": "the second try"}')):
            assert program("q -> answer")(q="x").answer == "the second try"

    def test_a_missing_field_cannot_be_read(self) -> None:
        with settings(model({"answer": "x"}), "json"), pytest.raises(dspy.AdapterParseError):
            program("q -> answer, score: float")(q="x")

    @pytest.mark.parametrize(
        ("reason", "kind"),
        [
            ("rate_limited", dspy.LMRateLimitError),
            ("lm_auth", dspy.LMAuthError),
            ("lm_unavailable", dspy.LMServerError),
            ("lm_refused", dspy.LMInvalidRequestError),
            ("context_window", dspy.ContextWindowExceededError),
        ],
    )
    def test_failing(self, reason: str, kind: type[Exception]) -> None:
        predict = program("q -> answer")
        with settings(model({"error": reason, "retry_after_ms": 1500}, {"answer": "after"})):
            with pytest.raises(kind) as caught:
                predict(q="x")
            assert predict(q="x").answer == "after"
        assert caught.value.retry_after == 1.5  # type: ignore[attr-defined]

    def test_trying_again_if_asked_to(self) -> None:
        with settings(model({"error": "rate_limited", "retry_after_ms": 0}, {"answer": "after"}, num_retries=1)):
            assert program("q -> answer")(q="x").answer == "after"

    def test_a_field_may_be_called_error(self) -> None:
        with settings(model({"error": "none", "answer": "x"}, {"error": "lm_auth", "answer": "y"})):
            assert [program("q -> error, answer")(q="x").error for _ in range(2)] == ["none", "lm_auth"]

    def test_each_answer_is_given_once_to_whoever_asks(self) -> None:
        given = model(*({"answer": str(number)} for number in range(200)))
        predict = program("q -> answer")

        def ask(_: int) -> str:
            with settings(given):
                return str(predict(q="x").answer)

        with ThreadPoolExecutor(8) as threads:
            said = list(threads.map(ask, range(200)))
        assert sorted(said, key=int) == [str(number) for number in range(200)]

    def test_on_an_event_loop(self) -> None:
        given = model({"answer": "1", "delay_ms": 5}, {"error": "lm_auth"})

        async def ask() -> None:
            with settings(given):
                assert (await program("q -> answer").acall(q="x")).answer == "1"
                with pytest.raises(dspy.LMAuthError):
                    await program("q -> answer").acall(q="x")

        asyncio.run(ask())

    def test_concurrent_calls_do_not_mix_their_formats(self) -> None:
        given = build_model(parse_lm("echo"))

        async def ask(number: int) -> Any:
            names = [f"f{number}_{index}" for index in range(3)]
            with settings(given, ADAPTERS[number % len(ADAPTERS)]):
                made = await program(f"q -> {', '.join(names)}").acall(q=str(number))
            return dict(made.items()) == dict.fromkeys(names, str(number))

        async def all_at_once() -> list[bool]:
            return await asyncio.gather(*map(ask, range(40)))

        assert all(asyncio.run(all_at_once()))

    def test_usage_is_one_token_for_a_word(self) -> None:
        given = model("three words here")
        request = Request(model="dspex/scripted", messages=(Message.user([TextPart("two words")]), Message.user([TextPart("one")])))
        usage = given.lm.engine.complete(request).usage
        assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (3, 3, 6)


class TestDeadline:
    """On a thread nothing can interrupt a wait, so that it must end by itself."""

    def late(self, seconds: float, given: Model) -> None:
        with settings(given, deadline=Deadline(time.monotonic() + seconds)):
            program("q -> answer")(q="x")

    def test_an_answer_that_comes_too_late(self) -> None:
        with pytest.raises(Late):
            self.late(0.02, model({"answer": "x", "delay_ms": 3_600_000}))

    def test_no_time_to_try_again(self) -> None:
        with pytest.raises(GiveUp) as caught:
            self.late(5, model({"error": "rate_limited", "retry_after_ms": 3_600_000}, {"answer": "x"}, num_retries=3))
        assert caught.value.error.retry_after == 3600  # type: ignore[attr-defined]

    def test_pauses_grow(self) -> None:
        """Without a word of the server's, the first pause of DSPy's is one second, the second is two."""
        with pytest.raises((GiveUp, Late)):
            self.late(2.5, model({"error": "lm_unavailable"}, {"error": "lm_unavailable"}, {"answer": "x"}, num_retries=3))

    def test_what_is_not_tried_again_is_no_matter_of_time(self) -> None:
        with pytest.raises(dspy.LMAuthError):
            self.late(0.5, model({"error": "lm_auth"}, num_retries=3))

    def test_json_is_said_without_an_adapter(self) -> None:
        request = Request(model="dspex/scripted", messages=(Message.user([TextPart("x")]),))
        said = contextvars.Context().run(model({"a": [1]}).lm.engine.complete, request).message.text
        assert json.loads(said) == {"a": [1]}
