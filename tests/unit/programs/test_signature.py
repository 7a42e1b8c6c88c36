"""How signatures are written, and what is refused."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from dspex_erl.errors import BadSignature
from dspex_erl.programs.field_types import MAX_FIELDS, MAX_TEXT, parse_type
from dspex_erl.programs.signature import (
    MAX_INSTRUCTIONS,
    RESERVED,
    RESERVED_BY_MODULE,
    Field,
    Signature,
    parse_signature,
)

GOOD: list[tuple[Any, str]] = [
    ("question -> answer", "question -> answer"),
    ("question->answer", "question -> answer"),
    (" question ,\n\tcontext : list[str]\n->\nanswer ", "question, context: list[str] -> answer"),
    (
        "question, context: list[str] -> answer: Literal['yes','no'], score: float",
        "question, context: list[str] -> answer: Literal['yes', 'no'], score: float",
    ),
    ("a: str -> b: string", "a -> b"),
    ("a: dict[str, list[int]] -> b: {x: int, y: str 'why -> so'}", "a: dict[str, list[int]] -> b: {x: int, y: str 'why -> so'}"),
    ("items, keys, class, copy, str -> values, from, list: list", "items, keys, class, copy, str -> values, from, list: list[any]"),
    ("model_name, modelConfig -> Signature", "model_name, modelConfig -> Signature"),
    (
        "question, earlier: dspy.History, picture: Image | None -> answer",
        "question, earlier: History, picture: Image | None -> answer",
    ),
    ("code: Code['c'] -> code2: dspy.Code", "code: Code['c'] -> code2: Code['python']"),
    ({"inputs": ["question"], "outputs": ["answer"]}, "question -> answer"),
    ({"inputs": "question, n: int", "outputs": "answer: list"}, "question, n: int -> answer: list[any]"),
    ({"input_fields": ["question", "n: int"], "output_fields": {"answer": "list[str]"}}, "question, n: int -> answer: list[str]"),
    ({"inputs": {"q": {"type": "integer"}}, "output_fields": [{"name": "a"}]}, "q: int -> a"),
    ({"inputs": ("q",), "outputs": [{"name": "a", "type": {"type": "array", "items": "int"}}]}, "q -> a: list[int]"),
    (
        {"inputs": ["q"], "outputs": [{"name": "people", "type": "array", "items": {"fields": {"name": "str"}}, "desc": "all"}]},
        "q -> people: list[{name: str}]",
    ),
    ({"inputs": ["q"], "outputs": ["a"], "input_fields": None, "instructions": None}, "q -> a"),
]

OF_PYDANTIC = ["model_config", "model_dump", "model_dump_json", "model_validate_it", "model_fields"]
A_NAME = "expected a name of at most 64 letters, digits and underscores that begins with a letter, got "
BAD: list[tuple[Any, str]] = [
    ("", "expected at least one input, got the end, at character 1"),
    ("-> a", "expected at least one input, got '->', at character 1"),
    ("q ->", "expected at least one output, got the end, at character 5"),
    ("q", "expected ',' or '->', got the end, at character 2"),
    ("q a -> b", "expected ',' or '->', got 'a', at character 3"),
    ("q, -> a", A_NAME + "'->', at character 4"),
    ("q -> a,", A_NAME + "the end, at character 8"),
    ("q -> a -> b", "expected ',' or the end, got '->', at character 8"),
    ("q -> a; import os", "expected ',' or the end, got '; import os', at character 7"),
    ("x: this.s -> y", "expected a type (str, int, …), got 'this.s', in field x at character 4"),
    ("q -> y: list[this.s]", "expected a type (str, int, …), got 'this.s', in field y at character 14"),
    ("q: -> a", "expected a type (str, int, …), got '->', in field q at character 4"),
    ("q: list[str -> a", "expected ']', got '->', in field q at character 13"),
    (
        "*, q -> a",
        "expected a name of at most 64 letters, digits and underscores that begins with a letter, got '*, q -> a', at character 1",
    ),
    ("_q -> a", A_NAME + "'_q', at character 1"),
    ("é -> a", A_NAME + "'é -> a', at character 1"),
    ("a.b -> c", A_NAME + "'a.b', at character 1"),
    (f"{'a' * 65} -> c", A_NAME + f"'{'a' * 40}…', at character 1"),
    ("q, q -> a", "expected names that differ, got 'q' twice, in field q"),
    ("q -> a, q", "expected names that differ, got 'q' twice, in field q"),
    ("q -> picture: list[Image]", "expected a type that a model can write, got Image, in field picture"),
    ("q -> h: History", "expected a type that a model can write, got History, in field h"),
    ("h: list[History] -> a", "expected one History, as the whole type of one input, got another, in field h"),
    ("h: History | None -> a", "expected one History, as the whole type of one input, got another, in field h"),
    ("h: History, i: History -> a", "expected one History, as the whole type of one input, got another, in field i"),
    (None, "expected a signature's text or a map of inputs and outputs, got NoneType"),
    (b"q -> a", "expected a signature's text or a map of inputs and outputs, got bytes"),
    (["q"], "expected a signature's text or a map of inputs and outputs, got list"),
    ({}, "expected either inputs or input_fields, got neither"),
    ({"inputs": ["q"]}, "expected either outputs or output_fields, got neither"),
    ({"inputs": ["q"], "input_fields": ["q"], "outputs": ["a"]}, "expected either inputs or input_fields, got both"),
    ({"inputs": [], "outputs": ["a"]}, "expected at least one input, got none"),
    ({"inputs": ["q"], "outputs": {}}, "expected at least one output, got none"),
    ({"inputs": "", "outputs": ["a"]}, "expected at least one field, got the end, in field inputs at character 1"),
    ({"inputs": "q -> a", "outputs": ["a"]}, "expected ',' or the end, got '->', in field inputs at character 3"),
    ({"inputs": 3, "outputs": ["a"]}, "expected a list of fields or a map from names to types, got int, in field inputs"),
    ({"inputs": [["q"]], "outputs": ["a"]}, "expected a field as a text or as a map with a name, got list, in field inputs"),
    ({"inputs": ["q, r"], "outputs": ["a"]}, "expected the end, got ',', in field inputs at character 2"),
    ({"inputs": [{"name": 3}], "outputs": ["a"]}, A_NAME + "3, in field inputs"),
    ({"inputs": [{"name": "a-b"}], "outputs": ["a"]}, A_NAME + "'a-b', in field inputs"),
    ({"inputs": {"q": "this.s"}, "outputs": ["a"]}, "expected a type (str, int, …), got 'this.s', in field q at character 1"),
    (
        {"inputs": {"q": None}, "outputs": ["a"]},
        "expected a type (str, int, …) or a map that describes one, got nothing, in field q",
    ),
    (
        {"inputs": [{"name": "q", "typ": "int"}], "outputs": ["a"]},
        "expected the keys type, items, fields, properties, required, enum, nullable, got 'typ', in field q",
    ),
    ({"inputs": ["q"], "outputs": ["a"], "extra": 1}, "expected a map of inputs and outputs, got the key 'extra'"),
    ({"inputs": ["q"], "outputs": ["a"], 3: 1}, "expected a map of inputs and outputs, got the key int"),
    (
        {"inputs": ["q"], "outputs": ["a"], "instructions": 3},
        "expected a text of at most 100000 characters, got int, at instructions",
    ),
]


@pytest.mark.parametrize(("given", "canonical"), GOOD, ids=[repr(entry[0])[:70] for entry in GOOD])
def test_good(given: Any, canonical: str) -> None:
    signature = parse_signature(given)
    assert signature.text == str(signature) == canonical
    assert parse_signature(canonical).text == canonical


@pytest.mark.parametrize(("given", "sentence"), BAD, ids=[repr(entry[0])[:70] for entry in BAD])
def test_bad(given: Any, sentence: str) -> None:
    with pytest.raises(BadSignature) as caught:
        parse_signature(given)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("name", [*sorted(RESERVED), *OF_PYDANTIC])
@pytest.mark.parametrize("form", ["{} -> answer", "question -> {}"])
def test_reserved_names(name: str, form: str) -> None:
    with pytest.raises(BadSignature) as caught:
        parse_signature(form.format(name))
    assert str(caught.value) == f"expected a name that is not reserved, got {name!r}, in field {name}"


def test_names_that_modules_keep_are_told() -> None:
    assert "trajectory" in RESERVED_BY_MODULE["react"]
    assert parse_signature("trajectory -> answer").text == "trajectory -> answer"


def test_fields() -> None:
    signature = parse_signature("question, n: int -> answers: list[str]")
    assert signature.inputs == (Field("question"), Field("n", parse_type("int")))
    assert signature.outputs == (Field("answers", parse_type("list[str]")),)
    assert signature.instructions == ""


def test_descriptions_make_a_difference() -> None:
    plain = parse_signature({"inputs": ["q"], "outputs": ["a"]})
    described = parse_signature({"inputs": [{"name": "q", "description": "what is asked"}], "outputs": ["a"]})
    assert described.inputs[0].desc == "what is asked"
    assert described != plain
    assert described.text == plain.text
    assert parse_signature({"inputs": [{"name": "q", "desc": "what is asked", "description": None}], "outputs": ["a"]}) == described


def test_instructions() -> None:
    signature = parse_signature("q -> a")
    told = signature.with_instructions("Be brief.")
    assert (told.instructions, told.text) == ("Be brief.", "q -> a")
    assert told != signature
    assert parse_signature({"inputs": "q", "outputs": "a", "instructions": "Be brief."}) == told
    assert len({told, signature, parse_signature("q->a")}) == 2


@pytest.mark.parametrize(
    ("instructions", "sentence"),
    [
        (None, "expected a text of at most 100000 characters, got NoneType, at instructions"),
        ("x" * (MAX_INSTRUCTIONS + 1), "expected a text of at most 100000 characters, got 100001, at instructions"),
        ("\ud800", "expected text in Unicode, got a lone surrogate, in field instructions"),
    ],
)
def test_bad_instructions(instructions: Any, sentence: str) -> None:
    with pytest.raises(BadSignature) as caught:
        parse_signature("q -> a").with_instructions(instructions)
    assert str(caught.value) == sentence


def test_plain_form() -> None:
    described = {"inputs": [{"name": "q", "desc": "é"}], "outputs": {"p": {"fields": {"n": {"type": "str", "desc": "who"}}}}}
    signature = parse_signature(described).with_instructions("Do.")
    plain = signature.to_plain()
    assert plain == {
        "inputs": [{"name": "q", "type": "str", "desc": "é"}],
        "outputs": [{"name": "p", "type": "{n: str 'who'}", "desc": ""}],
        "instructions": "Do.",
    }
    assert Signature.from_plain(json.loads(json.dumps(plain))) == signature
    assert parse_signature(plain) == signature


def test_plain_forms_are_maps() -> None:
    with pytest.raises(BadSignature, match=r"^expected a map of inputs and outputs, got str$"):
        Signature.from_plain("q -> a")


def test_limits() -> None:
    most = ", ".join(f"a{n}" for n in range(MAX_FIELDS))
    assert len(parse_signature(f"{most} -> b").inputs) == MAX_FIELDS
    with pytest.raises(BadSignature, match=f"^expected at most {MAX_FIELDS} inputs, got 'c', at character "):
        parse_signature(f"{most}, c -> b")
    with pytest.raises(BadSignature, match=f"^expected at most {MAX_FIELDS} outputs, got 'c', at character "):
        parse_signature(f"q -> {most}, c")
    with pytest.raises(BadSignature, match=f"^expected at most {MAX_FIELDS} fields, got {MAX_FIELDS + 1}, in field inputs$"):
        parse_signature({"inputs": [f"a{n}" for n in range(MAX_FIELDS + 1)], "outputs": ["b"]})
    with pytest.raises(BadSignature, match=f"^expected at most {MAX_TEXT} characters, got "):
        parse_signature("q -> a" + " " * MAX_TEXT)
    large = "Literal[" + ", ".join(f"'{'x' * 60}{n}'" for n in range(200)) + "]"
    with pytest.raises(BadSignature, match=f"^expected a signature of at most {MAX_TEXT} characters, got "):
        parse_signature({"inputs": [f"a: {large}", f"b: {large}"], "outputs": ["c"]})


def test_nothing_is_imported() -> None:
    before = set(sys.modules)
    for text in ("x: this.s -> y", "x: antigravity.fly -> y", "q -> a: this.s", "q: list[this.s] -> a"):
        with pytest.raises(BadSignature):
            parse_signature(text)
    assert set(sys.modules) == before
