"""Types and fields out of maps, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from dspex_erl.errors import BadSignature
from dspex_erl.programs.field_maps import read_type
from dspex_erl.programs.field_types import MAX_DEPTH, parse_type

A_TYPE = "expected a type (str, int, …), got "
MAPS: list[tuple[Any, str]] = [
    ("list[int]", "list[int]"),
    ({"type": "string"}, "str"),
    ({"type": {"type": "integer"}}, "int"),
    ({}, "str"),
    ({"type": "number", "nullable": True}, "float | None"),
    ({"type": ["string", "null"]}, "str | None"),
    ({"type": ["integer", "string"]}, "int | str"),
    ({"type": "array"}, "list[any]"),
    ({"type": "array", "items": {"type": "string"}}, "list[str]"),
    ({"items": "int"}, "list[int]"),
    ({"type": ["array", "null"], "items": "int"}, "list[int] | None"),
    ({"type": "object"}, "dict[str, any]"),
    (
        {"type": "object", "fields": {"a": "int", "b": {"type": "string", "desc": "what it's for"}}},
        "{a: int, b: str 'what it\\'s for'}",
    ),
    ({"type": "object", "properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a"]}, "{a: int, b: str | None}"),
    ({"fields": [{"name": "a", "type": "int", "description": "x"}, "b: list[str]", "c"]}, "{a: int 'x', b: list[str], c: str}"),
    ({"type": "map", "fields": {"a": {"type": "object", "fields": {"b": "int"}}}}, "{a: {b: int}}"),
    ({"type": ["array", "list", "null", {"type": "object", "fields": ["a"]}], "items": "int"}, "list[int] | {a: str} | None"),
    ({"type": ["object", "array"], "items": "int", "fields": ["a"]}, "{a: str} | list[int]"),
    ({"enum": ["a", 1, True, False]}, "Literal['a', 1, True, False]"),
    ({"type": "string", "enum": ["a", None]}, "Literal['a'] | None"),
    ({"type": "Literal['a']", "nullable": False}, "Literal['a']"),
]

BAD_MAPS: list[tuple[Any, str]] = [
    (None, A_TYPE.replace(", got ", " or a map that describes one, got nothing, in field x")),
    (3, A_TYPE.replace(", got ", " or a map that describes one, got int, in field x")),
    ([], A_TYPE.replace(", got ", " or a map that describes one, got list, in field x")),
    (
        {"kind": "str"},
        "expected the keys type, items, fields, properties, required, enum, nullable, got 'kind', in field x",
    ),
    ({3: "str"}, "expected the keys type, items, fields, properties, required, enum, nullable, got 3, in field x"),
    ({"type": "this.s"}, A_TYPE + "'this.s', in field x at character 1"),
    ({"type": None, "items": 3}, A_TYPE.replace(", got ", " or a map that describes one, got int, in field x")),
    ({"type": []}, "expected a type, or 1 to 256 of them, got 0, in field x"),
    ({"type": [["str"]]}, A_TYPE.replace(", got ", " or a map that describes one, got list, in field x")),
    ({"type": "str", "items": "int"}, "expected items with a type that has them, got 'str', in field x"),
    ({"type": "list[int]", "items": "int"}, "expected items with a type that has them, got 'list[int]', in field x"),
    ({"type": "array", "fields": ["a"]}, "expected fields with a type that has them, got 'array', in field x"),
    ({"fields": ["a"], "properties": ["b"]}, "expected properties with a type that has them, got nothing, in field x"),
    ({"type": {"type": "array"}, "items": "int"}, "expected items with a type that has them, got dict, in field x"),
    ({"nullable": "yes"}, "expected a boolean at nullable, got str, in field x"),
    ({"type": ["null"]}, A_TYPE + "None alone, in field x"),
    ({"type": "null"}, A_TYPE + "None alone, in field x"),
    ({"enum": []}, "expected a list of 1 to 256 values at enum, got list, in field x"),
    ({"enum": "abc"}, "expected a list of 1 to 256 values at enum, got str, in field x"),
    ({"enum": [1.5]}, "expected texts, whole numbers of at most 18 digits and booleans at enum, got float, in field x"),
    (
        {"enum": [10**18]},
        "expected texts, whole numbers of at most 18 digits and booleans at enum, got 1000000000000000000, in field x",
    ),
    ({"enum": [None]}, A_TYPE + "None alone, in field x"),
    ({"enum": ["\ud800"]}, "expected text in Unicode, got a lone surrogate, in field x"),
    ({"fields": {}}, "expected at least one field of an object, got none, in field x"),
    ({"fields": 3}, "expected a list of fields or a map from names to types, got int, in field x"),
    ({"fields": [3]}, "expected a field as a text or as a map with a name, got int, in field x"),
    ({"fields": [{"type": "int"}]}, "expected a field as a text or as a map with a name, got dict, in field x"),
    ({"fields": ["a", "a"]}, "expected names that differ, got 'a' twice, in field x"),
    ({"fields": ["a b"]}, "expected the end, got 'b', in field x at character 3"),
    ({"fields": {"a": {"type": "bytes"}}}, A_TYPE + "'bytes', in field x.a at character 1"),
    ({"fields": {"a": {"desc": 3}}}, "expected a description of at most 4096 characters, got int, in field x.a"),
    ({"fields": {"a": {"desc": "x" * 4097}}}, "expected a description of at most 4096 characters, got 4097, in field x.a"),
    ({"fields": {"a": {"desc": "\udfff"}}}, "expected text in Unicode, got a lone surrogate, in field x.a"),
    ({"fields": {"a": "int"}, "required": "a"}, "expected a list of names at required, got str, in field x"),
    ({"fields": {f"a{n}": "int" for n in range(65)}}, "expected at most 64 fields, got 65, in field x"),
    (
        {"fields": {3: "int"}},
        "expected a name of at most 64 letters, digits and underscores that begins with a letter, got 3, in field x",
    ),
]


@pytest.mark.parametrize(("given", "canonical"), MAPS, ids=[repr(entry[0]) for entry in MAPS])
def test_good_maps(given: Any, canonical: str) -> None:
    read = read_type(given, "x")
    assert read.text == canonical
    assert parse_type(canonical) == read


@pytest.mark.parametrize(("given", "sentence"), BAD_MAPS, ids=[repr(entry[0])[:60] for entry in BAD_MAPS])
def test_bad_maps(given: Any, sentence: str) -> None:
    with pytest.raises(BadSignature) as caught:
        read_type(given, "x")
    assert str(caught.value) == sentence


@pytest.mark.parametrize("key", ["type", "items"])
def test_deep_maps_are_refused(key: str) -> None:
    given: dict[str, Any] = {}
    for _ in range(5000):
        given = {key: given}
    with pytest.raises(BadSignature, match=f"^expected types at most {MAX_DEPTH} deep, got deeper ones, in field x$"):
        read_type(given, "x")


def test_deep_objects_are_refused() -> None:
    given: dict[str, Any] = {}
    for _ in range(300):
        given = {"fields": {"a": given}}
    with pytest.raises(BadSignature, match=r"^expected types at most 16 deep, got deeper ones, in field x"):
        read_type(given, "x")


def test_depth_of_maps_and_of_texts_in_them_add_up() -> None:
    given: Any = "list[" * 8 + "int" + "]" * 8
    for _ in range(8):
        given = {"type": "array", "items": given}
    with pytest.raises(BadSignature, match=r"^expected types at most 16 deep"):
        read_type(given, "x")


def test_alternatives_do_not_multiply() -> None:
    given: dict[str, Any] = {"type": "str"}
    for _ in range(MAX_DEPTH - 1):
        given = {"type": ["array", "Array", "list"] * 80, "items": given}
    assert read_type(given, "x").text == "list[" * (MAX_DEPTH - 1) + "str" + "]" * (MAX_DEPTH - 1)
