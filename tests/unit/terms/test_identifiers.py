"""Pids and their like: values with fields that can be compared, hashed and copied."""

import dataclasses
import pickle
from typing import Any

import pytest

from dspex_erl import terms
from dspex_erl.terms import Atom, BitString, ByteAtom, Export, Fun, OpaqueObject, Pid, Port, Reference

N = Atom("n@h")
VALUES: list[Any] = [
    Pid(N, 1, 2, 3),
    Port(N, 1, 2),
    Reference(N, 1, (1, 2)),
    Export(Atom("m"), Atom("f"), 1),
    Fun(b"p..."),
    BitString(b"\x80", 1),
    OpaqueObject(b"x", ByteAtom(b"ruby")),
]


@pytest.mark.parametrize("value", VALUES)
def test_values(value: Any) -> None:
    same = pickle.loads(pickle.dumps(value))
    assert same == value
    assert hash(same) == hash(value)
    first = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, first, None)


def test_fun_hides_its_bytes() -> None:
    assert repr(Fun(b"12345")) == "Fun(<5 bytes>)"


def test_opaque_text() -> None:
    assert repr(OpaqueObject(b"x", ByteAtom(b"ruby"))) == "OpaqueObject(b'x', Atom(b'ruby'))"


@pytest.mark.parametrize(("data", "bits"), [(b"", 1), (b"a", 0), (b"a", 8)])
def test_no_bit_string(data: bytes, bits: int) -> None:
    with pytest.raises(ValueError, match="bits"):
        BitString(data, bits)


@pytest.mark.parametrize(
    ("data", "language"), [("x", ByteAtom(b"ruby")), (bytearray(b"x"), ByteAtom(b"ruby")), (b"x", b"ruby"), (b"x", Atom("ruby"))]
)
def test_no_opaque(data: Any, language: Any) -> None:
    with pytest.raises(TypeError):
        OpaqueObject(data, language)


def test_exports() -> None:
    assert terms.__all__ == sorted(terms.__all__)
    assert all(hasattr(terms, name) for name in terms.__all__)
