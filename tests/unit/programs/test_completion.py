"""The prompt of lines, what is read back from them, and the grammar that keeps a model to them."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import dspy
import pytest
from dspy.lm15 import Message, Request, Response, TextPart, Usage
from hypothesis import given
from hypothesis import strategies as st

from dspex_erl.programs.completion import GRAMMAR, CompletionAdapter, grammar_of
from dspex_erl.programs.ready import dspy_module
from dspex_erl.programs.schema import dspy_signature
from dspex_erl.programs.signature import parse_signature

dspy_module()

SIMPLE = "question, context -> label: Literal['yes', 'no'], final_score: float, n: int, sure: bool, why"


class Engine:
    """Keeps what it is asked and says what it was given."""

    supports_response_schema = True
    supported_params = frozenset({"response_format"})

    def __init__(self, text: str, takes_grammar: bool = True) -> None:
        self.text = text
        self.takes_grammar = takes_grammar
        self.requests: list[Request] = []

    def complete(self, request: Request) -> Response:
        self.requests.append(request)
        usage = Usage(input_tokens=1, output_tokens=1, total_tokens=2)
        message = Message.assistant([TextPart(self.text)])
        return Response(id=None, model=request.model, message=message, finish_reason="stop", usage=usage)


class AsyncEngine:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def complete(self, request: Request) -> Response:
        return self.engine.complete(request)


def run(engine: Engine, text: str, demos: Any = (), **inputs: Any) -> dict[str, Any]:
    predict = dspy.Predict(signature(text))
    predict.demos = list(demos)
    lm = dspy.LM("dspex/test", engine=engine, async_engine=AsyncEngine(engine))
    with dspy.context(lm=lm, adapter=CompletionAdapter(), trace=[], disable_history=True):
        made = dict(predict(**inputs).items())

        async def again() -> dict[str, Any]:
            return dict((await predict.acall(**inputs)).items())

        assert asyncio.run(again()) == made
    assert engine.requests[0] == engine.requests[1]
    return made


def signature(text: str) -> Any:
    return dspy_signature(parse_signature(text))


def prompt(engine: Engine) -> str:
    (message,) = engine.requests[0].messages
    return message.text or ""


class TestPrompt:
    def test_it_ends_where_the_answer_begins(self) -> None:
        engine = Engine(" Paris\n")
        demo = dspy.Example(question="2 + 2?", answer="4")
        assert run(engine, "question -> answer", [demo], question="The capital\nof France?") == {"answer": "Paris"}
        *before, example, asked = prompt(engine).split("\n\n")
        assert "question" in before[0]
        assert example == "Question: 2 + 2?\nAnswer: 4"
        assert asked == "Question: The capital of France?\nAnswer:"

    def test_values_of_all_kinds_take_a_line(self) -> None:
        engine = Engine("x")
        run(engine, "a_list: list[int], number: float, sure: bool -> b", a_list=[1, 2], number=0.5, sure=True)
        assert prompt(engine).endswith("A list: [1, 2]\nNumber: 0.5\nSure: True\nB:")

    def test_names_that_would_look_the_same(self) -> None:
        engine = Engine(" one\nx_y: two")
        assert run(engine, "q -> x_Y, x_y", q="?") == {"x_Y": "one", "x_y": "two"}
        assert prompt(engine).endswith("q: ?\nx_Y:")


class TestParse:
    @pytest.mark.parametrize(
        "said",
        [
            " yes\nFinal score: 0.5\nN: 7\nSure: True\nWhy: so\n",
            "yes\nFinal score:0.5\nN:7\nSure:true\nWhy:so",
            "Label: yes\nWhy: so\nSure: True\nN: 7\nFinal score: 0.5",
            " yes\nFinal score: 0.5\nN: 7\nSure: True\nWhy: so\nQuestion: another?\nContext: x\nLabel: no\nFinal score: 9",
            " yes\nFinal score: 0.5\nN: 7\nSure: True\nWhy: so\nWhy: not so",
        ],
    )
    def test_lines(self, said: str) -> None:
        assert CompletionAdapter().parse(signature(SIMPLE), said) == {
            "label": "yes",
            "final_score": 0.5,
            "n": 7,
            "sure": True,
            "why": "so",
        }

    def test_a_text_may_have_lines(self) -> None:
        assert CompletionAdapter().parse(signature("q -> a, b"), "one\ntwo\n\nB: three\nfour\n") == {
            "a": "one\ntwo",
            "b": "three\nfour",
        }

    @pytest.mark.parametrize(
        "said", ["", "yes", "perhaps\nFinal score: 1\nN: 1\nSure: True\nWhy: x", " yes\nFinal score: high\nN: 1"]
    )
    def test_what_cannot_be_read(self, said: str) -> None:
        with pytest.raises(dspy.AdapterParseError) as caught:
            CompletionAdapter().parse(signature(SIMPLE), said)
        assert caught.value.adapter_name == "CompletionAdapter"

    @given(st.text())
    def test_any_text_is_read_or_refused(self, said: str) -> None:
        try:
            made = CompletionAdapter().parse(signature(SIMPLE), said)
        except dspy.AdapterParseError:
            return
        assert set(made) == {"label", "final_score", "n", "sure", "why"}

    @given(
        st.fixed_dictionaries(
            {
                "label": st.sampled_from(["yes", "no"]),
                "final_score": st.floats(allow_nan=False, allow_infinity=False),
                "n": st.integers(),
                "sure": st.booleans(),
                "why": st.from_regex(r"[a-z](?:[ a-z.,]*[a-z])?", fullmatch=True),
            }
        )
    )
    def test_what_it_writes_it_reads(self, values: dict[str, Any]) -> None:
        adapter = CompletionAdapter()
        assert adapter.parse(signature(SIMPLE), adapter.format_assistant_message_content(signature(SIMPLE), values)) == values


class TestGrammar:
    def test_it_travels_in_the_response_format(self) -> None:
        engine = Engine(" yes\nWhy: so\n")
        run(engine, "q -> label: Literal['yes', 'no'], why", q="?")
        format = engine.requests[0].config.response_format
        assert format is not None
        assert format["name"] == GRAMMAR
        assert format["schema"] == {"grammar": grammar_of(signature("q -> label: Literal['yes', 'no'], why"))}

    def test_an_engine_that_takes_none_gets_none(self) -> None:
        engine = Engine("x", takes_grammar=False)
        run(engine, "q -> a", q="?")
        assert engine.requests[0].config.response_format is None

    def test_its_text(self) -> None:
        first, *rules = grammar_of(signature(SIMPLE)).split("\n")
        assert first.startswith('root ::= " " value0 "\\n" "Final score:" " " value1 "\\n" "N:"')
        assert rules[0] == 'value0 ::= "yes" | "no"'
        assert len(rules) == 5

    def test_choices_are_quoted(self) -> None:
        (rule,) = grammar_of(signature("""q -> a: Literal['say "x"', 'b\\\\c', 3, True]""")).split("\n")[1:]
        choices = [json.loads(part) for part in re.findall(r'"(?:[^"\\]|\\.)*"', rule)]
        assert choices == ['say "x"', "b\\c", "3", "True"]


class TestOtherTypes:
    def test_json_with_a_schema(self) -> None:
        engine = Engine('{"tags": ["x"], "answer": "y"}')
        assert run(engine, "q -> tags: list[str], answer", q="?") == {"tags": ["x"], "answer": "y"}
        format = engine.requests[0].config.response_format
        assert format is not None
        assert set(format["schema"]["properties"]) == {"tags", "answer"}

    def test_a_map_with_keys_of_the_models_own_has_a_schema_too(self) -> None:
        engine = Engine('{"m": {"a": 1}}')
        assert run(engine, "q -> m: dict[str, int]", q="?") == {"m": {"a": 1}}
        format = engine.requests[0].config.response_format
        assert format is not None
        assert format["schema"]["properties"]["m"]["additionalProperties"] == {"type": "integer"}

    def test_an_engine_that_takes_no_grammar_is_asked_as_dspy_does(self) -> None:
        engine = Engine('{"m": {"a": 1}}', takes_grammar=False)
        assert run(engine, "q -> m: dict[str, int]", q="?") == {"m": {"a": 1}}
        assert engine.requests[0].config.response_format == {"type": "json_object"}
