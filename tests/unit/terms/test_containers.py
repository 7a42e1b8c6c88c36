"""Immutable lists and maps, improper lists, and keys that Python would merge."""

import copy
import operator
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from dspex_erl.terms import Atom, ByteAtom, ExactKey, ImproperList, List, Map, MutationError
from dspex_erl.terms._containers import identity

CHANGES_OF_A_LIST: list[Callable[[Any], Any]] = [
    lambda it: it.append(1),
    lambda it: it.extend([1]),
    lambda it: it.insert(0, 1),
    lambda it: it.pop(),
    lambda it: it.remove(1),
    lambda it: it.reverse(),
    lambda it: it.sort(),
    lambda it: it.clear(),
    lambda it: operator.setitem(it, 0, 1),
    lambda it: operator.delitem(it, 0),
    lambda it: operator.iadd(it, [1]),
    lambda it: operator.imul(it, 2),
]
CHANGES_OF_A_MAP: list[Callable[[Any], Any]] = [
    lambda it: it.clear(),
    lambda it: it.pop(1),
    lambda it: it.popitem(),
    lambda it: it.setdefault(1, 2),
    lambda it: it.update({1: 2}),
    lambda it: operator.setitem(it, 1, 2),
    lambda it: operator.delitem(it, 1),
    lambda it: operator.ior(it, {1: 2}),
]


class TestList:
    def test_is_a_list(self) -> None:
        assert List([1, 2]) == [1, 2]
        assert List() == []
        assert repr(List([1])) == "List([1])"
        assert List(range(3))[1:] == [1, 2]

    def test_freezes_what_is_inside(self) -> None:
        term = List([[1], {1: [2]}, ([3],)])
        assert [type(item) for item in term] == [List, Map, tuple]
        assert type(term[1][1]) is List

    @pytest.mark.parametrize("change", CHANGES_OF_A_LIST)
    def test_cannot_be_changed(self, change: Callable[[Any], Any]) -> None:
        term = List([1, 2])
        with pytest.raises(MutationError, match="a List"):
            change(term)
        assert term == [1, 2]

    def test_is_a_key(self) -> None:
        assert {List([1, [2]]): 3}[List([1, List([2])])] == 3

    def test_to_string(self) -> None:
        assert List([26085, 105]).to_string() == "日i"
        with pytest.raises(TypeError):
            List([b"x"]).to_string()

    def test_copies(self) -> None:
        for copied in (pickle.loads(pickle.dumps(List([1, [2]]))), copy.deepcopy(List([1, [2]]))):
            assert (type(copied), copied) == (List, [1, [2]])


class TestMap:
    def test_is_a_dict(self) -> None:
        assert Map({1: 2}) == {1: 2}
        assert Map(a=1)["a"] == 1
        assert Map([(1, 2)]) == {1: 2}
        assert repr(Map({1: 2})) == "Map({1: 2})"

    def test_freezes_what_is_inside(self) -> None:
        term = Map({1: [1], 2: {3: {}}})
        assert [type(value) for value in term.values()] == [List, Map]
        assert type(term[2][3]) is Map

    @pytest.mark.parametrize("change", CHANGES_OF_A_MAP)
    def test_cannot_be_changed(self, change: Callable[[Any], Any]) -> None:
        term = Map({1: 2})
        with pytest.raises(MutationError, match="a Map"):
            change(term)
        assert term == {1: 2}

    def test_is_a_key(self) -> None:
        assert {Map({1: [2], 3: 4}): 5}[Map({3: 4, 1: [2]})] == 5

    def test_copies(self) -> None:
        for copied in (pickle.loads(pickle.dumps(Map({1: [2]}))), copy.deepcopy(Map({1: [2]}))):
            assert (type(copied), copied) == (Map, {1: [2]})


class TestImproperList:
    def test_has_a_tail(self) -> None:
        term = ImproperList([1, [2]], {})
        assert list(term) == [1, [2]]
        assert (type(term[1]), type(term.tail)) == (List, Map)
        assert repr(ImproperList([1], 2)) == "ImproperList([1], 2)"

    def test_equality(self) -> None:
        assert ImproperList([1], 2) == ImproperList([1], 2)
        assert ImproperList([1], 2) != ImproperList([1], 3)
        assert ImproperList([1], 2) != ImproperList([2], 2)
        assert ImproperList([1], 2) != [1]
        assert not ImproperList([1], 2) != ImproperList([1], 2)  # noqa: SIM202

    def test_is_a_key(self) -> None:
        assert {ImproperList([1, []], ()): 1}[ImproperList([1, []], ())] == 1

    @pytest.mark.parametrize("change", [*CHANGES_OF_A_LIST, lambda it: setattr(it, "tail", 1), lambda it: delattr(it, "tail")])
    def test_cannot_be_changed(self, change: Callable[[Any], Any]) -> None:
        term = ImproperList([1, 2], 3)
        with pytest.raises(MutationError, match="a ImproperList"):
            change(term)
        assert term == ImproperList([1, 2], 3)

    def test_arguments(self) -> None:
        with pytest.raises(TypeError, match="tuple"):
            ImproperList((1,), 2)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="empty"):
            ImproperList([], 2)
        with pytest.raises(TypeError, match="tail"):
            ImproperList([1], [2])
        assert ImproperList([1], ImproperList([2], 3)).tail == ImproperList([2], 3)

    def test_copies(self) -> None:
        term = ImproperList([1], ())
        for copied in (pickle.loads(pickle.dumps(term)), copy.deepcopy(term)):
            assert (type(copied), copied) == (ImproperList, term)


class TestExactKey:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (1, 1.0),
            (1, True),
            (0.0, -0.0),
            (Atom("a"), "a"),
            (ByteAtom(b"a"), b"a"),
            ((1,), (1.0,)),
            (List([1]), List([True])),
            (Map({1: 1}), Map({1: 1.0})),
            (Map({1: 1}), Map({True: 1})),
            (ImproperList([1], 1), ImproperList([1], 1.0)),
            (ImproperList([1], 1), ImproperList([1.0], 1)),
        ],
    )
    def test_tells_apart(self, one: Any, other: Any) -> None:
        assert one == other
        assert ExactKey(one) != ExactKey(other)
        assert len({ExactKey(one), ExactKey(other), ExactKey(one)}) == 2
        assert identity(one) != identity(other)

    def test_equality(self) -> None:
        assert ExactKey(List([1, (2,)])) == ExactKey(List([1, (2,)]))
        assert hash(ExactKey(Map({1: 2}))) == hash(ExactKey(Map({1: 2})))
        assert ExactKey([1]) == ExactKey(List([1]))
        assert ExactKey(1) != 1
        assert identity(ExactKey(1)) == identity(1)

    @pytest.mark.parametrize("change", [lambda it: setattr(it, "value", 1), lambda it: delattr(it, "value")])
    def test_cannot_be_changed(self, change: Callable[[Any], Any]) -> None:
        with pytest.raises(MutationError):
            change(ExactKey(1))

    def test_copies_and_text(self) -> None:
        assert repr(ExactKey(1.0)) == "ExactKey(1.0)"
        assert pickle.loads(pickle.dumps(ExactKey(1.0))) == ExactKey(1.0)
