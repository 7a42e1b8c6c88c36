"""What holds for every signature: its text and its plain form say all of it, and no text does more than be read or refused.

Left out on purpose: types deeper than a few levels, which the limits' own tests meet, and texts of thousands of characters.
"""

from __future__ import annotations

import datetime
import json
import string
import sys
from typing import Any

import dspy
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dspex_erl.errors import BadInput, BadSignature
from dspex_erl.programs.field_maps import read_type
from dspex_erl.programs.field_types import FieldType, parse_type
from dspex_erl.programs.schema import dspy_signature, typed_values
from dspex_erl.programs.signature import Field, Signature, parse_signature
from dspex_erl.programs.values import check_inputs, plain_result

relaxed = settings(deadline=None, max_examples=200)
few = settings(deadline=None, max_examples=60)

# Names of the wild: those of methods of Python's, Pydantic's and DSPy's classes, and Python's own words.
names = st.one_of(
    st.sampled_from(
        ["question", "answer", "items", "keys", "copy", "json", "class", "def", "str", "None", "Literal", "validate", "x" * 64]
    ),
    st.builds(str.__add__, st.sampled_from(string.ascii_letters), st.text(string.ascii_letters + string.digits + "_", max_size=8)),
)
texts = st.text(st.characters(codec="utf-8"), max_size=12)
choices = st.one_of(texts, st.integers(-(10**18) + 1, 10**18 - 1), st.booleans(), st.none())
leaves = st.sampled_from(
    ["str", "int", "float", "bool", "any", "date", "datetime", "time", "Decimal", "Code['python']", "list", "dict"]
).map(parse_type)


def fields_of(types: st.SearchStrategy[FieldType]) -> st.SearchStrategy[dict[str, Any]]:
    described = st.fixed_dictionaries({"type": types.map(str)}, optional={"desc": texts})
    return st.dictionaries(names, described, min_size=1, max_size=3).map(lambda fields: {"fields": fields})


def larger(types: st.SearchStrategy[FieldType]) -> st.SearchStrategy[FieldType]:
    return st.one_of(
        st.builds("list[{}]".format, types).map(parse_type),
        st.builds("dict[{}, {}]".format, st.sampled_from(["str", "int"]), types).map(parse_type),
        st.lists(types, min_size=1, max_size=3).map(lambda parts: parse_type(f"tuple[{', '.join(map(str, parts))}]")),
        st.lists(types, min_size=1, max_size=3).map(lambda parts: parse_type(" | ".join(map(str, parts)))),
        types.map(lambda part: parse_type(f"Optional[{part}]")),
        st.lists(choices.filter(lambda choice: choice is not None), min_size=1, max_size=4).map(
            lambda values: read_type({"enum": values}, "")
        ),
        fields_of(types).map(lambda given: read_type(given, "")),
    )


types = st.recursive(leaves, larger, max_leaves=6)
inputs_only = st.sampled_from(["Image", "list[Image]", "Image | None"]).map(parse_type)


@st.composite
def signatures(draw: st.DrawFn) -> Signature:
    chosen = draw(st.lists(names, min_size=2, max_size=6, unique=True))
    cut = draw(st.integers(1, len(chosen) - 1))
    sides = []
    for side, kinds in ((chosen[:cut], st.one_of(types, inputs_only)), (chosen[cut:], types)):
        sides.append(tuple(Field(name, draw(kinds), draw(texts)) for name in side))
    made = Signature(sides[0], sides[1], draw(texts))
    assume(len(made.text) < 4000)
    return made


def bare(signature: Signature) -> Signature:
    sides = (tuple(Field(field.name, field.type) for field in side) for side in (signature.inputs, signature.outputs))
    return Signature(*sides)


class TestRoundTrip:
    @relaxed
    @given(kind=types)
    def test_types(self, kind: FieldType) -> None:
        again = parse_type(kind.text)
        assert again == kind
        assert again.text == kind.text
        assert same(again, kind)

    @relaxed
    @given(signature=signatures())
    def test_texts_say_all_but_descriptions(self, signature: Signature) -> None:
        assert parse_signature(signature.text) == bare(signature)

    @relaxed
    @given(signature=signatures())
    def test_plain_forms_say_all(self, signature: Signature) -> None:
        plain = signature.to_plain()
        assert Signature.from_plain(json.loads(json.dumps(plain))) == signature
        assert parse_signature(plain).to_plain() == plain


def same(left: FieldType, right: FieldType) -> bool:
    """Whether the parts agree too, which equality does not look at."""
    if (left.kind, left.choices) != (right.kind, right.choices) or list(map(type, left.choices)) != list(map(type, right.choices)):
        return False
    parts = zip([*left.args, *(entry.type for entry in left.fields)], [*right.args, *(entry.type for entry in right.fields)])
    described = [[(entry.name, entry.desc) for entry in side.fields] for side in (left, right)]
    return described[0] == described[1] and len(left.args) == len(right.args) and all(same(*pair) for pair in parts)


# What nearly is a signature: its own pieces in any order, with the names of modules that tell when they are imported.
pieces = st.one_of(
    st.sampled_from("qa,:[]{}|'\"\\ \n3-.é\x00\ud800*="),
    st.sampled_from(["->", "...", "list", "dict", "Literal", "Optional", "None", "str", "int", "True"]),
    st.sampled_from(["this.s", "antigravity.fly", "this", "__import__('this')"]),
)
nearly = st.one_of(st.lists(pieces, max_size=30).map("".join), st.text(max_size=60))
keys = st.sampled_from(
    [
        *(
            "inputs",
            "outputs",
            "input_fields",
            "output_fields",
            "instructions",
            "name",
            "type",
            "desc",
            "description",
            "items",
            "fields",
        ),
        *("properties", "required", "enum", "nullable"),
    ]
)
plain_terms = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), nearly, st.binary(max_size=3)),
    lambda terms: st.one_of(st.lists(terms, max_size=3), st.dictionaries(st.one_of(keys, st.text(max_size=3)), terms, max_size=4)),
    max_leaves=12,
)


class TestAnything:
    @settings(deadline=None, max_examples=500)
    @given(text=nearly)
    def test_texts_are_read_or_refused(self, text: str) -> None:
        before = set(sys.modules)
        for written in (text, f"q -> a: {text}", f"q: list[{text}] -> a"):
            try:
                signature = parse_signature(written)
            except BadSignature as error:
                assert len(str(error)) < 400
            else:
                assert parse_signature(signature.text) == signature
        assert not {"this", "antigravity"} & (set(sys.modules) - before)

    @settings(deadline=None, max_examples=300)
    @given(term=plain_terms)
    def test_terms_are_read_or_refused(self, term: Any) -> None:
        for described in (term, {"inputs": ["q"], "outputs": term}, {"inputs": {"q": term}, "outputs": ["a"]}):
            try:
                signature = parse_signature(described)
            except BadSignature as error:
                assert len(str(error)) < 400
            else:
                assert parse_signature(signature.to_plain()) == signature
                assert parse_signature(signature.text) == bare(signature)

    @relaxed
    @given(kind=types, value=plain_terms)
    def test_values_are_accepted_or_refused(self, kind: FieldType, value: Any) -> None:
        signature = Signature((Field("x", kind),), (Field("y"),))
        try:
            checked = check_inputs(signature, {"x": value})
        except BadInput as error:
            assert len(str(error)) < 400
        else:
            assert check_inputs(signature, checked) == checked or value != value or "nan" in repr(value)


def values_of(kind: FieldType) -> st.SearchStrategy[Any]:
    """Plain values of a type."""
    simple: dict[str, st.SearchStrategy[Any]] = {
        "str": texts,
        "code": st.text("abc \n", max_size=9),
        "int": st.integers(-(2**70), 2**70),
        "float": st.one_of(st.floats(allow_nan=False), st.integers(-1000, 1000)),
        "bool": st.booleans(),
        "none": st.none(),
        "any": st.one_of(st.none(), texts, st.lists(st.integers(), max_size=2)),
        "date": st.dates().map(datetime.date.isoformat),
        "datetime": st.datetimes(timezones=st.sampled_from([None, datetime.timezone.utc])).map(datetime.datetime.isoformat),
        "time": st.times().map(datetime.time.isoformat),
        "decimal": st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
        "literal": st.sampled_from(kind.choices or (None,)),
        "image": st.just("https://images.example/cat.png"),
    }
    if kind.kind in simple:
        return simple[kind.kind]
    if kind.kind == "list":
        return st.lists(values_of(kind.args[0]), max_size=3)
    if kind.kind == "dict":
        return st.dictionaries(values_of(kind.args[0]), values_of(kind.args[1]), max_size=3)
    if kind.kind == "tuple":
        return st.tuples(*map(values_of, kind.args)).map(list)
    if kind.kind == "union":
        return st.one_of(*map(values_of, kind.args))
    return st.fixed_dictionaries({entry.name: values_of(entry.type) for entry in kind.fields})


@st.composite
def filled(draw: st.DrawFn) -> tuple[Signature, dict[str, Any]]:
    signature = draw(signatures())
    return signature, {field.name: draw(values_of(field.type)) for field in signature.inputs}


# Pytest puts its own filters of warnings in the place of those that the package sets when it is imported.
@pytest.mark.filterwarnings("ignore:Field name:UserWarning")
class TestDSPy:
    @few
    @given(signature=signatures())
    def test_every_signature_has_a_class_of_dspys(self, signature: Signature) -> None:
        made = dspy_signature(signature)
        assert list(made.input_fields) == [field.name for field in signature.inputs]
        assert list(made.output_fields) == [field.name for field in signature.outputs]
        assert dspy_signature(parse_signature(signature.to_plain())) is made
        for adapter in (dspy.ChatAdapter(), dspy.JSONAdapter()):
            assert adapter.format_system_message(made)

    @few
    @given(pair=filled())
    def test_values_of_its_types_are_accepted_and_come_back_through_their_classes(
        self, pair: tuple[Signature, dict[str, Any]]
    ) -> None:
        signature, values = pair
        checked = check_inputs(signature, values)
        typed = typed_values(signature, checked)
        assert list(typed) == [field.name for field in signature.inputs]
        mirrored = Signature(signature.outputs, signature.inputs)
        plain = plain_result(mirrored, typed)
        assert list(plain) == list(typed)
        for field in signature.inputs:
            if not any(map(field.type.contains, ("any", "union", "image", "float", "decimal", "datetime", "time", "code"))):
                assert plain[field.name] == checked[field.name]
