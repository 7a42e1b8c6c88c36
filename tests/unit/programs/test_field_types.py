"""How types are written, and what is refused."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from dspex_erl.errors import BadSignature
from dspex_erl.programs.field_types import MAX_CHOICES, MAX_DEPTH, MAX_FIELDS, MAX_TEXT, FieldType, brief, kind_of, parse_type

GOOD = [
    *((text, "str") for text in ("str", "string", "String", "STR", "text", " str\n")),
    *((text, "int") for text in ("int", "integer", "Integer")),
    *((text, "float") for text in ("float", "number", "double")),
    *((text, "bool") for text in ("bool", "boolean", "Bool")),
    *((text, "any") for text in ("any", "Any", "typing.Any", "any | None", "Union[str, Any]", "Optional[any]")),
    *((text, "date") for text in ("date", "Date", "datetime.date")),
    *((text, "datetime") for text in ("datetime", "DateTime", "datetime.datetime")),
    *((text, "time") for text in ("time", "datetime.time")),
    *((text, "Decimal") for text in ("decimal", "Decimal", "decimal.Decimal")),
    *((text, "Image") for text in ("Image", "dspy.Image", "image")),
    *((text, "History") for text in ("History", "dspy.History")),
    *((text, "Code['python']") for text in ("Code", "dspy.Code", "Code[python]", 'dspy.Code["python"]')),
    ("Code['c++']", "Code['c++']"),
    *((text, "list[any]") for text in ("list", "List", "array", "tuple", "list[any]")),
    *((text, "list[int]") for text in ("list[int]", "List[integer]", "array[int]", "Sequence[int]", "tuple[int, ...]")),
    ("list[list[str]]", "list[list[str]]"),
    *((text, "dict[str, any]") for text in ("dict", "map", "Dict", "object", "mapping", "dict[str, Any]")),
    *((text, "dict[int, str]") for text in ("dict[int,str]", "typing.Dict[int, str]", "map[integer, string]")),
    ("tuple[int, str]", "tuple[int, str]"),
    ("tuple[int]", "tuple[int]"),
    *(
        (text, "str | None")
        for text in ("str | None", "None | str", "Optional[str]", "Optional[Optional[str]]", "str|null", "nil | str")
    ),
    ("Union[int, str, None]", "int | str | None"),
    ("int | str | int", "int | str"),
    ("Union[int]", "int"),
    ("list[int | None]", "list[int | None]"),
    ("(str)"[1:-1], "str"),
    ("Literal['a', \"b\", 3, True]", "Literal['a', 'b', 3, True]"),
    ("literal[-3]", "Literal[-3]"),
    ("Literal[1, True, 1, 0, False]", "Literal[1, True, 0, False]"),
    ("Literal['a', None]", "Literal['a'] | None"),
    (r"Literal['it\'s', " + '"it\'s", ' + r"'a\nb', '\\', '\"']", r"Literal['it\'s', 'a\nb', '\\', '" + '"' + "']"),
    ("Literal['', ' ', 'é', ']', ',']", "Literal['', ' ', 'é', ']', ',']"),
    ("{name: str}", "{name: str}"),
    ("{ name :string 'the \"full\" name',age: int|None }", "{name: str 'the \"full\" name', age: int | None}"),
    ("list[{a: {b: list[int] 'x'}}]", "list[{a: {b: list[int] 'x'}}]"),
]

A_TYPE = "expected a type (str, int, …), got "
BAD = [
    ("", A_TYPE + "the end, at character 1"),
    ("this.s", A_TYPE + "'this.s', at character 1"),
    ("os.system", A_TYPE + "'os.system', at character 1"),
    ("builtins.str", A_TYPE + "'builtins.str', at character 1"),
    ("typing.str", A_TYPE + "'typing.str', at character 1"),
    ("datetime.str", A_TYPE + "'datetime.str', at character 1"),
    ("bytes", A_TYPE + "'bytes', at character 1"),
    ("__import__('os')", A_TYPE + "'__import__', at character 1"),
    ("None", A_TYPE + "None alone, at character 1"),
    ("Optional[None]", A_TYPE + "None alone, at character 1"),
    ("{a: None}", A_TYPE + "None alone, at character 5"),
    ("str int", "expected the end, got 'int', at character 5"),
    ("str[int]", "expected the end, got '[', at character 4"),
    ("list[", A_TYPE + "the end, at character 6"),
    ("list[int", "expected ']', got the end, at character 9"),
    ("list[int, str]", "expected ']', got ',', at character 9"),
    ("list[]", A_TYPE + "']', at character 6"),
    ("dict[str]", "expected ',', got ']', at character 9"),
    ("dict[float, str]", "expected str or int, for the keys of a map, got 'float', at character 6"),
    ("dict[list[int], str]", "expected str or int, for the keys of a map, got 'list', at character 6"),
    ("tuple[...]", A_TYPE + "'...', at character 7"),
    ("tuple[int, str, ...]", A_TYPE + "'...', at character 17"),
    ("Optional", "expected '[', got the end, at character 9"),
    ("Literal", "expected '[', got the end, at character 8"),
    ("Literal[]", "expected a text in quotes, a whole number of at most 18 digits, True, False or None, got ']', at character 9"),
    ("Literal[a]", "expected a text in quotes, a whole number of at most 18 digits, True, False or None, got 'a', at character 9"),
    (
        "Literal[1.5]",
        "expected a text in quotes, a whole number of at most 18 digits, True, False or None, got '1.5]', at character 9",
    ),
    (
        "Literal['a]",
        'expected a text in quotes, a whole number of at most 18 digits, True, False or None, got "\'a]", at character 9',
    ),
    (r"Literal['\x41']", r"""expected one of the escapes \\ \' \" \n \r \t, got "'\\x41'", at character 9"""),
    ("Literal['\ud800']", "expected text in Unicode, got a lone surrogate"),
    ("Code[]", "expected the name of a language in quotes, got ']', at character 6"),
    ("Code['a b']", "expected the name of a language in quotes, got \"'a b'\", at character 6"),
    ("str |", A_TYPE + "the end, at character 6"),
    ("{}", "expected a name of at most 64 letters, digits and underscores that begins with a letter, got '}', at character 2"),
    (
        "{_a: int}",
        "expected a name of at most 64 letters, digits and underscores that begins with a letter, got '_a', at character 2",
    ),
    (
        "{a.b: int}",
        "expected a name of at most 64 letters, digits and underscores that begins with a letter, got 'a.b', at character 2",
    ),
    ("{a: int, a: str}", "expected names that differ, got 'a' twice"),
    ("{model_config: int}", "expected a name that is not reserved, got 'model_config'"),
    ("{a int}", "expected ':', got 'int', at character 4"),
    ("{a: int 'x' 'y'}", "expected '}', got \"'y'\", at character 13"),
    ("int; str", "expected the end, got '; str', at character 4"),
    ("str\x00", "expected the end, got '\\x00', at character 4"),
    ("ｓｔｒ", A_TYPE + "'ｓｔｒ', at character 1"),
]


@pytest.mark.parametrize(("text", "canonical"), GOOD, ids=[entry[0] for entry in GOOD])
def test_good(text: str, canonical: str) -> None:
    read = parse_type(text)
    assert read.text == str(read) == canonical
    assert parse_type(canonical) == read
    assert hash(parse_type(canonical)) == hash(read)


@pytest.mark.parametrize(("text", "sentence"), BAD, ids=[repr(entry[0]) for entry in BAD])
def test_bad(text: str, sentence: str) -> None:
    with pytest.raises(BadSignature) as caught:
        parse_type(text)
    assert str(caught.value) == sentence


def test_the_field_is_named() -> None:
    with pytest.raises(BadSignature) as caught:
        parse_type("list[this.s]", "x")
    assert str(caught.value) == A_TYPE + "'this.s', in field x at character 6"


def test_nothing_is_imported() -> None:
    before = set(sys.modules)
    for text in ("this.s", "antigravity.fly", "list[this.s]", "dspy.this", "typing.this"):
        with pytest.raises(BadSignature):
            parse_type(text)
    assert set(sys.modules) == before


def test_choices_are_told_apart_by_type() -> None:
    assert parse_type("Literal[1, True]").choices == (1, True)
    assert [type(choice) for choice in parse_type("Literal[1, True]").choices] == [int, bool]
    assert parse_type("Literal[1]") != parse_type("Literal[True]")


@pytest.mark.parametrize(
    ("text", "optional"), [("str | None", True), ("Literal['a', None]", True), ("any", False), ("str", False), ("int | str", False)]
)
def test_optional(text: str, optional: bool) -> None:
    assert parse_type(text).optional is optional


def test_contains() -> None:
    read = parse_type("list[{a: dict[str, Image | None]}]")
    assert [kind for kind in ("list", "object", "dict", "image", "union", "str", "int") if read.contains(kind)] == [
        "list",
        "object",
        "dict",
        "image",
        "union",
        "str",
    ]


class TestLimits:
    def test_depth(self) -> None:
        deepest = "list[" * (MAX_DEPTH - 1) + "int" + "]" * (MAX_DEPTH - 1)
        assert parse_type(deepest).text == deepest
        for text in (f"list[{deepest}]", "{a: " * 4000, "Optional[" * 1500 + "int"):
            with pytest.raises(BadSignature, match=f"^expected types at most {MAX_DEPTH} deep, got "):
                parse_type(text)

    def test_length(self) -> None:
        with pytest.raises(BadSignature, match=f"^expected at most {MAX_TEXT} characters, got {MAX_TEXT + 1}$"):
            parse_type(" " * (MAX_TEXT - 2) + "str")

    def test_length_of_what_was_meant(self) -> None:
        short = f"tuple[{', '.join(['{' + ', '.join(f'a{n}: map' for n in range(60)) + '}'] * 20)}]"
        assert len(short) < MAX_TEXT
        with pytest.raises(BadSignature, match=f"^expected a type of at most {MAX_TEXT} characters, got 2"):
            parse_type(short)

    def test_fields(self) -> None:
        most = ", ".join(f"a{n}: int" for n in range(MAX_FIELDS))
        assert len(parse_type(f"{{{most}}}").fields) == MAX_FIELDS
        with pytest.raises(BadSignature, match=f"^expected at most {MAX_FIELDS} fields of an object, got 'b', at "):
            parse_type(f"{{{most}, b: int}}")

    @pytest.mark.parametrize("form", ["Literal[{}]", "Union[{}]", "{}"])
    def test_choices(self, form: str) -> None:
        many = [str(n) if form.startswith("L") else "int" for n in range(MAX_CHOICES + 1)]
        assert parse_type(form.format((" | " if form == "{}" else ", ").join(many[:-1])))
        with pytest.raises(BadSignature, match=f"^expected at most {MAX_CHOICES} "):
            parse_type(form.format((" | " if form == "{}" else ", ").join(many)))

    def test_items_of_a_tuple(self) -> None:
        with pytest.raises(BadSignature, match=f"^expected at most {MAX_FIELDS} items of a tuple"):
            parse_type(f"tuple[{', '.join(['int'] * (MAX_FIELDS + 1))}]")

    def test_names(self) -> None:
        assert parse_type(f"{{{'a' * 64}: int}}")
        with pytest.raises(BadSignature, match=r"^expected a name of at most 64 letters"):
            parse_type(f"{{{'a' * 65}: int}}")

    def test_numbers(self) -> None:
        assert parse_type(f"Literal[{'9' * 18}]").choices == (10**18 - 1,)
        with pytest.raises(BadSignature, match=r"^expected a text in quotes, a whole number of at most 18 digits"):
            parse_type(f"Literal[{'9' * 19}]")

    def test_what_was_got_is_cut(self) -> None:
        with pytest.raises(BadSignature) as caught:
            parse_type("x" * 5000)
        assert len(str(caught.value)) < 120


def test_a_type_is_immutable() -> None:
    read: Any = parse_type("int")
    with pytest.raises(AttributeError):
        read.text = "str"
    assert isinstance(read, FieldType)


@pytest.mark.parametrize(
    ("value", "shown"),
    [("a", "'a'"), ("x" * 41, f"'{'x' * 40}…'"), (3, "3"), (True, "True"), (1 << 64, "int"), (2.5, "float"), (None, "nothing")],
)
def test_what_an_error_shows_of_a_value(value: Any, shown: str) -> None:
    assert brief(value) == shown


def test_the_kind_of_a_value() -> None:
    assert [kind_of(value) for value in (None, b"\xff", [], type("x" * 99, (), {})())] == [
        "nothing",
        "bytes that are not UTF-8",
        "list",
        "x" * 64,
    ]


def test_descriptions_have_a_limit() -> None:
    assert parse_type(f"{{a: str '{'x' * 4096}'}}").fields[0].desc == "x" * 4096
    with pytest.raises(BadSignature, match=r"^expected a text of at most 4096 characters, got "):
        parse_type(f"{{a: str '{'x' * 4097}'}}")


def test_a_literal_of_nothing_is_nothing() -> None:
    with pytest.raises(BadSignature, match=r"^expected a type \(str, int, …\), got None alone, at character 1$"):
        parse_type("Literal[None]")
