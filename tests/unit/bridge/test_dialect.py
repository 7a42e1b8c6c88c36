"""Terms made plain, and replies made terms."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from dspex_erl.bridge import dialect
from dspex_erl.bridge.dialect import Fields, has_atom_keys, named, plain, reply
from dspex_erl.errors import BadRequest
from dspex_erl.etf import Codec
from dspex_erl.terms import Atom, ByteAtom, List, Map


class TestPlain:
    @pytest.mark.parametrize(
        ("term", "expected"),
        [
            (b"text", "text"),
            (b"\xff", b"\xff"),
            (Atom("ok"), "ok"),
            (ByteAtom("ok"), "ok"),
            (ByteAtom("é"), "é"),
            (ByteAtom("日"), "日"),
            (Atom("nil"), None),
            (ByteAtom("undefined"), None),
            (b"nil", "nil"),
            ("nil", "nil"),
            (True, True),
            (1.5, 1.5),
            ((1, b"a"), [1, "a"]),
            (List([1, [b"a"]]), [1, ["a"]]),
            (Map({ByteAtom("a"): b"b"}), {"a": "b"}),
            ({b"a": {Atom("b"): [Atom("c")]}}, {"a": {"b": ["c"]}}),
            ({1: b"x"}, {1: "x"}),
        ],
    )
    def test_values(self, term: Any, expected: Any) -> None:
        result = plain(term)
        assert result == expected
        assert type(result) is type(expected)

    def test_keys_that_become_the_same(self) -> None:
        with pytest.raises(BadRequest, match="inputs"):
            plain({Atom("a"): 1, b"a": 2}, "inputs")

    def test_a_container_as_a_key(self) -> None:
        with pytest.raises(BadRequest, match="a list"):
            plain({(1, 2): 3})

    def test_depth(self) -> None:
        deep: Any = b"x"
        for _ in range(dialect.MAX_DEPTH):
            deep = [deep]
        assert plain(deep)
        with pytest.raises(BadRequest, match="levels"):
            plain([deep])

    def test_what_has_no_plain_form_is_left_for_others_to_refuse(self) -> None:
        term = object()
        assert plain([term]) == [term]


class TestNames:
    @pytest.mark.parametrize(
        ("term", "atoms"),
        [({Atom("a"): 1}, True), ({ByteAtom("a"): 1}, True), ({b"a": 1}, False), ({"a": 1}, False), ({}, False), (None, False)],
    )
    def test_atom_keys(self, term: Any, atoms: bool) -> None:
        assert has_atom_keys(term) is atoms

    def test_the_keys_of_a_result_follow_the_inputs(self) -> None:
        assert reply(named({"answer": "4"}, {Atom("question"): b"?"})) == {Atom("answer"): b"4"}
        assert reply(named({"answer": "4"}, {b"question": b"?"})) == {b"answer": b"4"}


class TestReply:
    def test_texts_are_binaries_and_only_names_of_fields_are_atoms(self) -> None:
        value = Fields(status="ok", result={"answer": ["a", None, 1.5, True]}, inner=Fields(x=(1, "y")))
        made = reply(value)
        assert made == {
            Atom("status"): b"ok",
            Atom("result"): {b"answer": [b"a", Atom("nil"), 1.5, True]},
            Atom("inner"): {Atom("x"): (1, b"y")},
        }
        assert all(type(key) is Atom for key in made)

    @pytest.mark.parametrize("strings", ["bytes", "str"])
    def test_the_same_arrives_with_both_mappings(self, strings: Any) -> None:
        made = reply(Fields(status="ok", nothing=None, result={"é": "日"}))
        codec = Codec(strings=strings)
        decoded = codec.decode(codec.encode(made))
        assert plain(decoded) == {"status": "ok", "nothing": None, "result": {"é": "日"}}


class TestUnderErlPortsOwnPythonSide:
    """ErlPort encodes its own classes only, and is told from this package's stand-in for it by its ``Atom``."""

    @pytest.fixture
    def theirs(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        module = types.ModuleType("erlport.erlterms")
        module.Atom = type("Atom", (bytes,), {})  # type: ignore[attr-defined]
        module.Map = type("Map", (dict,), {})  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "erlport.erlterms", module)
        return module

    def test_replies_are_of_its_classes(self, theirs: Any) -> None:
        made = reply(Fields(status="ok", nothing=None, result={"answer": ["x"]}))
        assert type(made) is theirs.Map
        assert [type(key) for key in made] == [theirs.Atom] * 3
        assert made == {b"status": b"ok", b"nothing": b"nil", b"result": {b"answer": [b"x"]}}
        assert type(made[b"nothing"]) is theirs.Atom
        assert type(made[b"result"]) is theirs.Map
        assert [type(key) for key in made[b"result"]] == [bytes]

    def test_its_atoms_are_understood(self, theirs: Any) -> None:
        term = theirs.Map({theirs.Atom(b"model"): theirs.Atom(b"echo"), theirs.Atom(b"n"): theirs.Atom("é".encode("latin-1"))})
        assert plain(term) == {"model": "echo", "n": "é"}
        assert has_atom_keys(term)
        assert reply(named({"answer": 1}, term)) == {b"answer": 1}
        assert plain(theirs.Atom(b"undefined")) is None

    def test_an_older_one_without_maps(self, theirs: Any) -> None:
        del theirs.Map
        assert type(reply(Fields(status="ok"))) is dict

    def test_the_stand_in_is_not_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        module = types.ModuleType("erlport.erlterms")
        module.Atom = ByteAtom  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "erlport.erlterms", module)
        assert [type(key) for key in reply(Fields(status="ok"))] == [Atom]
