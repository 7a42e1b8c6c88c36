"""DSPy's classes out of our signatures, and each kind of type through DSPy's own programs and adapters, both ways."""

from __future__ import annotations

import datetime
import gc
import logging
import subprocess
import sys
import threading
from decimal import Decimal
from typing import Any

import dspy
import pytest
from dspy.utils import DummyLM

from dspex_erl.programs import schema
from dspex_erl.programs.field_types import parse_type
from dspex_erl.programs.schema import annotation, dspy_signature, typed_values
from dspex_erl.programs.signature import parse_signature
from dspex_erl.programs.values import check_inputs, plain_result

ADAPTERS = {"chat": dspy.ChatAdapter, "json": dspy.JSONAdapter}
URL = "https://images.example/cat.png"


def run(signature_text: str, adapter: Any, inputs: Any, answers: Any) -> tuple[dict[str, Any], str]:
    """What a caller gets, and the prompt that the model got."""
    signature = parse_signature(signature_text)
    model = DummyLM([answers], adapter=adapter)
    checked = check_inputs(signature, inputs)
    with dspy.context(lm=model, adapter=adapter, trace=[]):
        prediction = dspy.Predict(dspy_signature(signature))(**typed_values(signature, checked))
    return plain_result(signature, dict(prediction.items())), str(model.history[-1]["messages"])


# A type, a value that an input may have, and what of it the prompt must show.
INPUTS = [
    ("str", "naïve\ntext", "naïve"),
    ("int", -7041, "-7041"),
    ("int", 10**30, str(10**30)),
    ("float", 2.5, "2.5"),
    ("float", 31, "31"),
    ("bool", True, "True"),
    ("any", {"deep": [1, None]}, '{"deep": [1, null]}'),
    ("any", None, "None"),
    ("list[str]", ["first one", "second one"], '["first one", "second one"]'),
    ("list[list[int]]", [[1], [2, 3]], "[[1], [2, 3]]"),
    ("dict[str, float]", {"half": 0.5, "one": 1}, '{"half": 0.5, "one": 1.0}'),
    ("dict[int, str]", {7: "seven"}, '{"7": "seven"}'),
    ("tuple[int, str]", [1, "one"], '[1, "one"]'),
    ("str | None", None, "None"),
    ("str | None", "there", "there"),
    ("int | str", "12", "12"),
    ("Literal['yes', 3, True]", "yes", "yes"),
    ("Literal['yes', 3, True]", 3, "3"),
    ("{name: str, age: int | None}", {"name": "Ada"}, '{"name": "Ada", "age": null}'),
    ("list[{on: date}]", [{"on": "2024-02-29"}], '[{"on": "2024-02-29"}]'),
    ("date", "2024-02-29", "2024-02-29"),
    ("datetime", "2024-02-29T03:04:05Z", "2024-02-29T03:04:05Z"),
    ("time", "03:04:05", "03:04:05"),
    ("Decimal", "1.50", "1.50"),
    ("Code['elixir']", "IO.puts(1)", "IO.puts(1)"),
    ("Image", URL, "'image_url': {'url': '" + URL + "'}"),
    ("Image", {"url": URL}, "'image_url': {'url': '" + URL + "'}"),
    ("Image", b"\x89PNG\r\n\x1a\n\xff", "'image_url': {'url': 'data:image/png;base64,iVBORw0KGgr/'}"),
    ("list[Image]", [URL], "'image_url': {'url': '" + URL + "'}"),
    ("dict[str, Image]", {"cat": URL}, "'image_url': {'url': '" + URL + "'}"),
    ("Image | None", URL, "'image_url': {'url': '" + URL + "'}"),
    ("{cat: Image}", {"cat": URL}, "'image_url': {'url': '" + URL + "'}"),
]

# A type, how the model writes a value of it, and what the caller gets.
OUTPUTS = [
    ("str", "Grüße\nzwei", "Grüße\nzwei"),
    ("int", "42", 42),
    ("float", "2.5", 2.5),
    ("float", "2", 2.0),
    ("bool", "True", True),
    ("any", '{"deep": [1, null]}', {"deep": [1, None]}),
    ("any", "words", "words"),
    ("list[str]", '["a", "b, c"]', ["a", "b, c"]),
    ("list", "[1, true]", [1, True]),
    ("dict[str, float]", '{"half": 0.5, "one": 1}', {"half": 0.5, "one": 1.0}),
    ("dict[int, str]", '{"7": "seven"}', {7: "seven"}),
    ("tuple[int, str]", '[1, "one"]', [1, "one"]),
    ("int | None", "null", None),
    ("int | None", "4", 4),
    ("int | str", "words", "words"),
    ("int | float", "3", 3),
    ("Literal['yes', 'it\\'s', 3, True]", "it's", "it's"),
    ("Literal['yes', 3, True]", "3", 3),
    ("Literal['yes', 3, True]", "True", True),
    ("Literal['yes', 'no'] | None", "null", None),
    ("{name: str, age: int | None}", '{"name": "Ada"}', {"name": "Ada", "age": None}),
    (
        "list[{name: str, home: {street: str, since: date}}]",
        '[{"name": "Ada", "home": {"street": "High St", "since": "2024-02-29"}}]',
        [{"name": "Ada", "home": {"street": "High St", "since": "2024-02-29"}}],
    ),
    ("date", "2024-02-29", "2024-02-29"),
    ("datetime", "2024-02-29T03:04:05Z", "2024-02-29T03:04:05+00:00"),
    ("datetime", "2024-02-29T03:04:05.25", "2024-02-29T03:04:05.250000"),
    ("time", "03:04:05", "03:04:05"),
    ("list[date]", '["2024-02-29"]', ["2024-02-29"]),
    ("Decimal", "1.25", "1.25"),
    ("list[Decimal]", '["1.50"]', ["1.50"]),
    ("Code['elixir']", "```elixir\nIO.puts(1)\n```", "IO.puts(1)"),
]


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize(("type_text", "value", "shown"), INPUTS, ids=[f"{entry[0]}-{entry[1]!r}" for entry in INPUTS])
def test_an_input_of_each_type_reaches_the_model(adapter: str, type_text: str, value: Any, shown: str) -> None:
    result, prompt = run(f"given: {type_text} -> answer", ADAPTERS[adapter](), {"given": value}, {"answer": "fine"})
    assert result == {"answer": "fine"}
    assert shown in prompt.replace("\\n", "\n").replace("\\\\", "\\")


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize(("type_text", "written", "expected"), OUTPUTS, ids=[f"{entry[0]}-{entry[1]!r}" for entry in OUTPUTS])
def test_an_output_of_each_type_reaches_the_caller(adapter: str, type_text: str, written: str, expected: Any) -> None:
    answers = {"first": "one", "answer": written, "last": "two"}
    result, prompt = run(f"question -> first, answer: {type_text}, last", ADAPTERS[adapter](), {"question": "why?"}, answers)
    assert result == {"first": "one", "answer": expected, "last": "two"}
    assert type(result["answer"]) is type(expected)
    assert "why?" in prompt


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_history_becomes_earlier_messages(adapter: str) -> None:
    messages = [{"question": "Who are you?", "answer": "Nobody."}, {"question": "Really?", "answer": "Yes."}]
    for given in (messages, {"messages": messages}):
        signature = parse_signature("question, earlier: History -> answer")
        made = ADAPTERS[adapter]()
        model = DummyLM([{"answer": "fine"}], adapter=made)
        values = typed_values(signature, check_inputs(signature, {"question": "And now?", "earlier": given}))
        with dspy.context(lm=model, adapter=made, trace=[]):
            dspy.Predict(dspy_signature(signature))(**values)
        sent = model.history[-1]["messages"]
        assert [message["role"] for message in sent] == ["system", "user", "assistant", "user", "assistant", "user"]
        for place, text in ((1, "Who are you?"), (2, "Nobody."), (3, "Really?"), (4, "Yes."), (5, "And now?")):
            assert text in sent[place]["content"]


def test_a_mistyped_answer_of_the_model_is_its_fault() -> None:
    with pytest.raises(dspy.AdapterParseError):
        run("question -> answer: int", dspy.JSONAdapter(), {"question": "why?"}, {"answer": "many"})


# -- classes ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("str", str),
        ("list[int]", list[int]),
        ("dict[str, bool]", dict[str, bool]),
        ("tuple[int, str]", tuple[int, str]),
        ("date", datetime.date),
        ("Decimal", Decimal),
        ("Image", dspy.Image),
        ("History", dspy.History),
    ],
)
def test_annotations(text: str, expected: Any) -> None:
    assert annotation(parse_type(text), "Any") == expected


def test_an_object_is_a_class_named_by_its_field_and_described_to_the_model() -> None:
    signature = parse_signature("q -> home_address: list[{street: str 'with the number', flat: int | None}]")
    (made,) = dspy_signature(signature).output_fields["home_address"].annotation.__args__
    described = made.model_json_schema()
    assert (described["title"], described["required"]) == ("HomeAddress", ["street"])
    assert described["properties"]["street"]["description"] == "with the number"


def test_descriptions_instructions_and_order_are_kept() -> None:
    described = {"inputs": [{"name": "z", "desc": "the last"}, "a"], "outputs": ["m", "b"], "instructions": "Do it."}
    made = dspy_signature(parse_signature(described))
    assert list(made.input_fields) == ["z", "a"]
    assert list(made.output_fields) == ["m", "b"]
    assert made.instructions == "Do it."
    assert made.input_fields["z"].json_schema_extra["desc"] == "the last"
    assert made.input_fields["a"].json_schema_extra["desc"] == "${a}"


def test_without_instructions_dspy_writes_its_own() -> None:
    assert dspy_signature(parse_signature("q -> a")).instructions == "Given the fields `q`, produce the fields `a`."


def test_equal_signatures_share_a_class_and_others_do_not() -> None:
    first = dspy_signature(parse_signature("q -> a: list[int]"))
    assert dspy_signature(parse_signature({"inputs": ["q"], "outputs": {"a": "List[integer]"}})) is first
    assert dspy_signature(parse_signature("q -> a: list[float]")) is not first
    assert dspy_signature(parse_signature("q -> a: list[int]").with_instructions("Count.")) is not first
    assert dspy_signature(parse_signature({"inputs": {"q": {"desc": "what"}}, "outputs": {"a": "list[int]"}})) is not first


def test_a_class_goes_when_nothing_uses_it() -> None:
    signature = parse_signature("only_here -> a: {b: int}")
    used = dspy.Predict(dspy_signature(signature))
    gc.collect()
    assert signature in schema._classes
    del used
    gc.collect()
    assert signature not in schema._classes


def test_threads_that_ask_at_once_get_one_class() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for attempt in range(20):
            signature = parse_signature(f"asked_by_many_{attempt} -> a: {{b: int}}")
            barrier = threading.Barrier(4)
            made: list[Any] = []

            def ask(signature: Any = signature, barrier: Any = barrier, made: list[Any] = made) -> None:
                barrier.wait()
                made.append(dspy_signature(signature))

            threads = [threading.Thread(target=ask) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(made) == 4
            assert len({id(one) for one in made}) == 1
    finally:
        sys.setswitchinterval(interval)


def test_names_of_methods_are_names_like_others_and_warn_nobody() -> None:
    # In a process of its own: the filter of warnings is set when the module is imported, and pytest has filters of its own.
    program = (
        "import dspy\n"
        "from dspy.utils import DummyLM\n"
        "from dspex_erl.programs.schema import dspy_signature, typed_values\n"
        "from dspex_erl.programs.signature import parse_signature\n"
        "s = parse_signature('copy, json, validate: {dict: int} -> schema, append, class')\n"
        "values = typed_values(s, {'copy': 'c', 'json': 'j', 'validate': {'dict': 1}})\n"
        "answers = {'reasoning': 'r', 'schema': 'x', 'append': 'y', 'class': 'z'}\n"
        "with dspy.context(lm=DummyLM([answers])):\n"
        "    print(dict(dspy.ChainOfThought(dspy_signature(s))(**values).items()) == answers)\n"
    )
    ours = [sys.executable, "-W", "error::UserWarning", "-c", program]
    ran = subprocess.run(ours, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.returncode) == ("True\n", 0), ran.stderr[-2000:]
    assert "shadows" not in ran.stderr


# -- typed values ----------------------------------------------------------------------------------------------------------------


def test_values_become_what_the_annotations_say() -> None:
    signature = parse_signature(
        "d: date, f: float, o: {at: time}, n: Decimal | None, c: Code, t: tuple[int, float], s -> when: datetime"
    )
    given = {"d": "2024-02-29", "f": 3, "o": {"at": "03:04"}, "n": None, "c": "x = 1", "t": [1, 2], "s": "2024-02-29"}
    values = typed_values(signature, {**given, "when": "2024-02-29T03:04:05Z", "reasoning": "none"})
    assert values["d"] == datetime.date(2024, 2, 29)
    assert type(values["f"]) is float
    assert values["o"].at == datetime.time(3, 4)
    assert values["n"] is None
    assert values["c"].code == "x = 1"
    assert values["t"] == (1, 2.0)
    assert values["s"] == "2024-02-29"
    assert values["when"] == datetime.datetime(2024, 2, 29, 3, 4, 5, tzinfo=datetime.timezone.utc)
    assert values["reasoning"] == "none"


def test_plain_values_stay_the_same_objects() -> None:
    signature = parse_signature("a: list[str], b: dict[str, any], c: int | str | None -> d")
    given = {"a": ["x"], "b": {"k": [1]}, "c": "1"}
    values = typed_values(signature, given)
    assert all(values[name] is given[name] for name in given)


def test_dspy_finds_no_fault_with_typed_values(caplog: pytest.LogCaptureFixture) -> None:
    signature = parse_signature(
        "d: list[date], f: dict[str, float], o: {at: time}, t: tuple[int, str], i: Image, c: Code -> answer"
    )
    inputs = {"d": ["2024-02-29"], "f": {"a": 1}, "o": {"at": "03:04"}, "t": [1, "a"], "i": URL, "c": "x"}
    values = typed_values(signature, check_inputs(signature, inputs))
    logger = logging.getLogger("dspy")
    logger.addHandler(caplog.handler)
    try:
        with dspy.context(lm=DummyLM([{"answer": "fine"}]), warn_on_type_mismatch=True):
            dspy.Predict(dspy_signature(signature))(**values)
    finally:
        logger.removeHandler(caplog.handler)
    assert caplog.messages == []
