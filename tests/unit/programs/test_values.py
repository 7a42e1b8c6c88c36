"""Inputs that are right and wrong, and outputs made plain."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import math
import sys
import uuid
from collections import OrderedDict, UserDict
from decimal import Decimal
from typing import Any

import dspy
import numpy
import pydantic
import pytest

from dspex_erl.errors import BadInput, EncodeError, LMParse
from dspex_erl.programs.signature import parse_signature
from dspex_erl.programs.values import MAX_BITS, MAX_DEPTH, check_inputs, check_some, plain_result

SAME = object()
URL = "https://images.example/cat.png"
PNG = b"\x89PNG\r\n\x1a\n\xff"

GOOD: list[tuple[str, Any, Any]] = [
    ("str", "", SAME),
    ("str", "naïve \U0001f600", SAME),
    ("int", 0, SAME),
    ("int", -(2**80), SAME),
    ("float", 2.5, SAME),
    ("float", 3, SAME),
    ("float", math.inf, SAME),
    ("bool", False, SAME),
    ("any", None, SAME),
    ("any", [1, {"a": [None, True, 2.5, "x"]}, {1: {2.5: []}}], SAME),
    ("list[str]", [], SAME),
    ("list[str]", ["a"], SAME),
    ("list[list[int | None]]", [[1, None], []], SAME),
    ("dict[str, int]", {"a": 1}, SAME),
    ("dict[int, str]", {1: "a"}, SAME),
    ("tuple[int, str]", [1, "a"], SAME),
    ("tuple[int, str]", (1, "a"), [1, "a"]),
    ("str | None", None, SAME),
    ("int | str", "3", SAME),
    ("list[None]", [None], SAME),
    ("float | int", 3, SAME),
    ("Literal['a', 3, True]", "a", SAME),
    ("Literal['a', 3, True]", True, SAME),
    ("Literal['a', None]", None, SAME),
    ("{a: int, b: str | None}", {"a": 1}, {"a": 1, "b": None}),
    ("{a: int, b: str | None}", {"b": "x", "a": 1}, {"a": 1, "b": "x"}),
    ("{a: int} | {b: int}", {"b": 1}, SAME),
    ("date", "2024-02-29", SAME),
    ("datetime", "2024-02-29T03:04:05", SAME),
    ("datetime", "2024-02-29 03:04:05.1Z", SAME),
    ("datetime", "2024-02-29T03:04:05.123456+02:30", SAME),
    ("datetime", "2024-02-29T03:04", SAME),
    ("time", "23:59", SAME),
    ("time", "23:59:59.999999-05:00", SAME),
    ("Decimal", "1.50", SAME),
    ("Decimal", "-.5e-10", SAME),
    ("Decimal", 3, SAME),
    ("Decimal", 2.5, SAME),
    ("Image", URL, {"url": URL}),
    ("Image", {"url": URL}, SAME),
    ("Image", "data:image/png;base64,AAAA", {"url": "data:image/png;base64,AAAA"}),
    ("Image", PNG, {"url": "data:image/png;base64,iVBORw0KGgr/"}),
    ("Image", b"RIFF\xff\xff\xff\xffWEBP", {"url": "data:image/webp;base64,UklGRv////9XRUJQ"}),
    ("list[Image]", [URL], [{"url": URL}]),
    ("History", [{"q": "a"}], SAME),
    ("History", {"messages": [{"q": "a"}]}, [{"q": "a"}]),
    ("Code['c']", "int x;", SAME),
]

LONG = "x" * 500
BAD: list[tuple[str, Any, str]] = [
    ("str", 3, "expected str, got int, at inputs.x"),
    ("str", None, "expected str, got nothing, at inputs.x"),
    ("str", b"\xff", "expected str, got bytes that are not UTF-8, at inputs.x"),
    ("str", "a\ud800", "expected text in Unicode, got a lone surrogate, at inputs.x"),
    ("int", "3", "expected int, got str, at inputs.x"),
    ("int", True, "expected int, got bool, at inputs.x"),
    ("int", 3.0, "expected int, got float, at inputs.x"),
    ("int", 1 << MAX_BITS, f"expected a whole number of at most {MAX_BITS} bits, got {MAX_BITS + 1} bits, at inputs.x"),
    ("float", "2.5", "expected float, got str, at inputs.x"),
    ("float", False, "expected float, got bool, at inputs.x"),
    ("float", 10**400, "expected float, got a whole number that is too large for one, at inputs.x"),
    ("bool", 1, "expected bool, got int, at inputs.x"),
    ("bool", "true", "expected bool, got str, at inputs.x"),
    ("any", {"a": [1, object()]}, "expected texts, numbers, booleans, lists and maps, got object, at inputs.x['a'][1]"),
    ("any", [b"\xff"], "expected texts, numbers, booleans, lists and maps, got bytes that are not UTF-8, at inputs.x[0]"),
    ("any", {None: 1}, "expected a text or a number for a key, got nothing, at inputs.x[nothing]"),
    ("any", {"\udfff": 1}, "expected text in Unicode, got a lone surrogate, at inputs.x['\\udfff']"),
    ("list[str]", "abc", "expected list[str], got str, at inputs.x"),
    ("list[str]", {"a": 1}, "expected list[str], got dict, at inputs.x"),
    ("list[str]", ["a", "b", "c", 4], "expected str, got int, at inputs.x[3]"),
    ("list[list[int]]", [[1], [2, "3"]], "expected int, got str, at inputs.x[1][1]"),
    ("dict[str, int]", [1], "expected dict[str, int], got list, at inputs.x"),
    ("dict[str, int]", {"a": "1"}, "expected int, got str, at inputs.x['a']"),
    ("dict[str, int]", {1: 1}, "expected keys that are texts, got int, at inputs.x[1]"),
    ("dict[int, int]", {"1": 1}, "expected keys that are whole numbers, got str, at inputs.x['1']"),
    ("dict[int, int]", {True: 1}, "expected keys that are whole numbers, got bool, at inputs.x[True]"),
    ("dict[str, int]", {LONG: "1"}, f"expected int, got str, at inputs.x['{'x' * 40}…']"),
    ("tuple[int, str]", [1], "expected tuple[int, str] of 2 items, got 1, at inputs.x"),
    ("tuple[int, str]", "ab", "expected tuple[int, str], got str, at inputs.x"),
    ("tuple[int, str]", [1, 2], "expected str, got int, at inputs.x[1]"),
    ("list[None]", [0], "expected None, got int, at inputs.x[0]"),
    ("list[int] | None", [None], "expected int, got nothing, at inputs.x[0]"),
    ("int | str", 2.5, "expected int | str, got float, at inputs.x"),
    ("int | str | None", [], "expected int | str | None, got list, at inputs.x"),
    ("Literal['a', 3]", "b", "expected Literal['a', 3], got 'b', at inputs.x"),
    ("Literal['a', 3]", "3", "expected Literal['a', 3], got '3', at inputs.x"),
    ("Literal['a', 3]", 3.0, "expected Literal['a', 3], got float, at inputs.x"),
    ("Literal[1]", True, "expected Literal[1], got True, at inputs.x"),
    ("Literal['a']", LONG, f"expected Literal['a'], got '{'x' * 40}…', at inputs.x"),
    ("{a: int}", [1], "expected {a: int}, got list, at inputs.x"),
    ("{a: int}", {}, "expected int, got nothing, at inputs.x.a"),
    ("{a: int}", {"a": 1, "b": 2}, "expected the keys of {a: int}, got 'b', at inputs.x"),
    ("list[{a: {b: int}}]", [{"a": {"b": "x"}}], "expected int, got str, at inputs.x[0].a.b"),
    ("date", "2024-02-30", "expected a date in ISO 8601, got '2024-02-30', at inputs.x"),
    ("date", "20240229", "expected a date in ISO 8601, got '20240229', at inputs.x"),
    ("date", 20240229, "expected date, got int, at inputs.x"),
    ("datetime", "2024-02-29", "expected a datetime in ISO 8601, got '2024-02-29', at inputs.x"),
    ("datetime", "2024-02-29T25:00:00", "expected a datetime in ISO 8601, got '2024-02-29T25:00:00', at inputs.x"),
    ("datetime", "2024-02-29T03:04.5", "expected a datetime in ISO 8601, got '2024-02-29T03:04.5', at inputs.x"),
    ("time", "3:04", "expected a time in ISO 8601, got '3:04', at inputs.x"),
    ("Decimal", "1,5", "expected Decimal, got '1,5', at inputs.x"),
    ("Decimal", "NaN", "expected Decimal, got 'NaN', at inputs.x"),
    ("Decimal", True, "expected Decimal, got bool, at inputs.x"),
    ("Decimal", math.nan, "expected Decimal, got float, at inputs.x"),
    ("Image", "/etc/passwd", "expected the URL (http, https, gs or data) or the bytes of an image, got '/etc/passwd', at inputs.x"),
    (
        "Image",
        "file:///etc/passwd",
        "expected the URL (http, https, gs or data) or the bytes of an image, got 'file:///etc/passwd', at inputs.x",
    ),
    ("Image", {"path": "x"}, "expected the URL (http, https, gs or data) or the bytes of an image, got nothing, at inputs.x"),
    (
        "Image",
        {"url": URL, "download": True},
        "expected the URL (http, https, gs or data) or the bytes of an image, got dict, at inputs.x",
    ),
    ("Image", b"\xff\xfe", "expected the bytes of a PNG, JPEG, GIF, WebP or BMP image, got others, at inputs.x"),
    ("History", "Hello", "expected History, a list of maps from fields to values, got str, at inputs.x"),
    ("History", ["Hello"], "expected dict[str, any], got str, at inputs.x[0]"),
    ("Code", 3, "expected Code['python'], got int, at inputs.x"),
]


@pytest.mark.parametrize(("text", "value", "expected"), GOOD, ids=[f"{entry[0]}-{entry[1]!r}" for entry in GOOD])
def test_good_inputs(text: str, value: Any, expected: Any) -> None:
    signature = parse_signature(f"x: {text} -> y")
    checked = check_inputs(signature, {"x": value})
    expected = value if expected is SAME else expected
    assert checked == {"x": expected}
    assert type(checked["x"]) is type(expected)
    assert check_inputs(signature, checked) == checked


@pytest.mark.parametrize(("text", "value", "sentence"), BAD, ids=[f"{entry[0]}-{str(entry[1])[:30]!r}" for entry in BAD])
def test_bad_inputs(text: str, value: Any, sentence: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_inputs(parse_signature(f"x: {text} -> y"), {"x": value})
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({}, "expected str, got nothing, at inputs.question"),
        ({"question": "why?"}, "expected list[int], got nothing, at inputs.few"),
        ({"question": "why?", "few": [], "many": []}, "expected the inputs question, few, maybe, got 'many', at inputs"),
        ({"question": "why?", "few": [], "answer": "x"}, "expected the inputs question, few, maybe, got 'answer', at inputs"),
        ({"question": "why?", "few": [], 3: "x"}, "expected the inputs question, few, maybe, got 3, at inputs"),
        (["why?"], "expected a map of inputs, got list, at inputs"),
        (None, "expected a map of inputs, got nothing, at inputs"),
    ],
)
def test_names_of_inputs(inputs: Any, sentence: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_inputs(parse_signature("question, few: list[int], maybe: int | None -> answer"), inputs)
    assert str(caught.value) == sentence


def test_inputs_come_in_the_order_of_the_signature_and_what_may_be_left_out_is_none() -> None:
    checked = check_inputs(parse_signature("b, a, maybe: int | None -> answer"), {"a": "1", "b": "2"})
    assert list(checked.items()) == [("b", "2"), ("a", "1"), ("maybe", None)]


def test_depth() -> None:
    signature = parse_signature("x: any -> y: any")
    deep: Any = []
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]
    assert check_inputs(signature, {"x": deep}) == {"x": deep}
    with pytest.raises(BadInput, match=rf"^expected at most {MAX_DEPTH} levels of nesting, got more, at inputs\.x\[0\]"):
        check_inputs(signature, {"x": [deep]})
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(LMParse, match=rf"^expected at most {MAX_DEPTH} levels of nesting, got more, at outputs\.y\[0\]"):
        plain_result(signature, {"y": endless})


class TestSome:
    signature = parse_signature("question, n: int | None -> answer: float")

    def test_some_fields_are_enough(self) -> None:
        given = {"answer": 3, "question": "why?", "reasoning": object()}
        assert check_some(self.signature, given, "demos[0]") == given

    def test_each_is_checked(self) -> None:
        with pytest.raises(BadInput) as caught:
            check_some(self.signature, {"question": "why?", "answer": "3"}, "demos[4]")
        assert str(caught.value) == "expected float, got str, at demos[4].answer"


# -- outputs ---------------------------------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Word(str):
    __slots__ = ()


class Home(pydantic.BaseModel):
    street: str
    since: datetime.date


class Person(pydantic.BaseModel):
    name: str
    home: Home | None = None


@dataclasses.dataclass
class Point:
    x: int
    labels: tuple[str, ...] = ()


UTC = datetime.timezone.utc
OUTPUTS: list[tuple[str, Any, Any]] = [
    ("str", "text", "text"),
    ("str", Word("text"), "text"),
    ("str", Colour.RED, "red"),
    ("str", numpy.str_("text"), "text"),
    ("str", b"text", "text"),
    ("str", uuid.UUID(int=3), "00000000-0000-0000-0000-000000000003"),
    ("int", Level.HIGH, 3),
    ("int", numpy.int64(3), 3),
    ("float", 3, 3.0),
    ("float", numpy.float32(2.5), 2.5),
    ("float", numpy.float64(2.5), 2.5),
    ("bool", numpy.True_, True),
    ("any", {"a": (1, {2})}, {"a": [1, [2]]}),
    ("any", None, None),
    ("any", numpy.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    ("any", Point(1, ("a",)), {"x": 1, "labels": ["a"]}),
    ("any", UserDict({Colour.RED: 1, numpy.int64(2): OrderedDict()}), {"red": 1, 2: {}}),
    ("any", dspy.Prediction(answer=(1, 2)), {"answer": [1, 2]}),
    ("any", dspy.Code(code="x = 1"), "x = 1"),
    ("any", dspy.Reasoning(content="because"), "because"),
    ("any", dspy.Image(URL), URL),
    ("list[float]", (1, 2.5), [1.0, 2.5]),
    ("list[str]", frozenset({"a"}), ["a"]),
    ("dict[int, date]", {1: datetime.date(2024, 2, 29)}, {1: "2024-02-29"}),
    ("tuple[int, str]", (1, "a"), [1, "a"]),
    ("int | None", None, None),
    ("int | float", 3, 3),
    ("float | int", 3, 3),
    ("Literal['a', 'b']", "b", "b"),
    ("Literal[True]", 1, True),
    ("Literal[1]", 1.0, 1),
    ("{name: str, home: {street: str, since: date} | None}", Person(name="Ada"), {"name": "Ada", "home": None}),
    (
        "{name: str, home: {street: str, since: date} | None}",
        Person(name="Ada", home=Home(street="High St", since=datetime.date(2024, 2, 29))),
        {"name": "Ada", "home": {"street": "High St", "since": "2024-02-29"}},
    ),
    ("{a: int}", {"a": 1, "chatter": "of the model"}, {"a": 1}),
    ("date", datetime.date(2024, 2, 29), "2024-02-29"),
    ("datetime", datetime.datetime(2024, 2, 29, 3, 4, 5, 60, tzinfo=UTC), "2024-02-29T03:04:05.000060+00:00"),
    ("time", datetime.time(3, 4), "03:04:00"),
    ("Decimal", Decimal("1.50"), "1.50"),
    ("Code", dspy.Code["python"](code="x = 1"), "x = 1"),
]

BAD_OUTPUTS: list[tuple[str, Any, str]] = [
    ("str", None, "expected str, got nothing, at outputs.y"),
    ("str", 3, "expected str, got int, at outputs.y"),
    ("str", "\ud800", "expected text in Unicode, got a lone surrogate, at outputs.y"),
    ("int", "3", "expected int, got str, at outputs.y"),
    ("int", 3.5, "expected int, got float, at outputs.y"),
    ("list[int]", (1, "b"), "expected int, got str, at outputs.y[1]"),
    ("{a: {b: int}}", {"a": {}}, "expected int, got nothing, at outputs.y.a.b"),
    ("{name: int}", Person(name="Ada"), "expected int, got str, at outputs.y.name"),
    ("Literal['a']", "b", "expected Literal['a'], got 'b', at outputs.y"),
    ("date", datetime.datetime(2024, 2, 29), "expected a date in ISO 8601, got '2024-02-29T00:00:00', at outputs.y"),
    ("any", {(1, 2): 3}, "expected a text or a number for a key, got tuple, at outputs.y[tuple]"),
]


@pytest.mark.parametrize(("text", "value", "expected"), OUTPUTS, ids=[f"{entry[0]}-{entry[1]!r}"[:70] for entry in OUTPUTS])
def test_good_outputs(text: str, value: Any, expected: Any) -> None:
    result = plain_result(parse_signature(f"x -> y: {text}"), {"y": value, "reasoning": object()})
    assert result == {"y": expected}
    assert type(result["y"]) is type(expected)


@pytest.mark.parametrize(("text", "value", "sentence"), BAD_OUTPUTS, ids=[f"{entry[0]}-{entry[1]!r}"[:70] for entry in BAD_OUTPUTS])
def test_bad_outputs(text: str, value: Any, sentence: str) -> None:
    with pytest.raises(LMParse) as caught:
        plain_result(parse_signature(f"x -> y: {text}"), {"y": value})
    assert str(caught.value) == sentence


def test_bytes_that_are_not_text_stay_bytes_and_are_no_plain_output() -> None:
    with pytest.raises(LMParse, match=r"got bytes that are not UTF-8, at outputs\.y$"):
        plain_result(parse_signature("x -> y: any"), {"y": bytearray(b"\xff")})


@pytest.mark.parametrize("text", ["any", "str", "list[str]"])
def test_objects_that_nothing_stands_for_are_named_with_their_place(text: str) -> None:
    with pytest.raises(EncodeError) as caught:
        plain_result(parse_signature(f"x -> y: {text}"), {"y": [{"a": 1j}]})
    assert str(caught.value) == "expected a value with an Erlang counterpart, got complex, at outputs.y[0]['a']"


def test_a_missing_output_is_the_models_fault_unless_it_may_be_left_out() -> None:
    signature = parse_signature("x -> y, maybe: int | None, z: any")
    assert plain_result(signature, {"z": 1, "y": "a"}) == {"y": "a", "maybe": None, "z": 1}
    with pytest.raises(LMParse) as caught:
        plain_result(signature, {"y": "a"})
    assert str(caught.value) == "expected any, got nothing, at outputs.z"


def test_inputs_are_not_changed() -> None:
    inner = {"a": 1}
    given = {"x": [inner]}
    check_inputs(parse_signature("x: list[{a: int, b: int | None}] -> y"), given)
    assert given == {"x": [{"a": 1}]}
    assert given["x"][0] is inner


def test_values_of_libraries_that_are_not_there_are_refused_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dspy", "pydantic", "numpy"):
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(EncodeError, match=r"got complex, at outputs\.y$"):
        plain_result(parse_signature("x -> y: any"), {"y": 1j})
