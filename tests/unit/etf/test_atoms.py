"""The atoms that the pure decoder has met."""

from __future__ import annotations

from typing import Any

import pytest

from dspex_erl.errors import DecodeError, DecodeLimitError
from dspex_erl.etf._atoms import Atoms
from dspex_erl.etf._options import Options
from dspex_erl.terms import Atom, ByteAtom
from tests.coders import raising


@pytest.mark.parametrize(
    ("strings", "raw", "value"),
    [
        ("bytes", b"ok", ByteAtom("ok")),
        ("bytes", b"nil", ByteAtom("nil")),
        ("bytes", b"undefined", None),
        ("str", b"ok", Atom("ok")),
        ("str", b"nil", None),
        ("str", b"undefined", Atom("undefined")),
        ("str", b"true", True),
        ("bytes", b"false", False),
    ],
)
@pytest.mark.parametrize("latin", [False, True])
def test_names(strings: Any, raw: bytes, value: Any, latin: bool) -> None:
    atoms = Atoms(Options(strings=strings))
    for _ in range(2):
        found = atoms.get(raw, latin, 0)
        assert (type(found), found) == (type(value), value)
    assert (atoms.latin if latin else atoms.utf8) == {raw: value}


@pytest.mark.parametrize("strings", ["bytes", "str"])
def test_the_marker_is_one_object(strings: Any) -> None:
    atoms = Atoms(Options(strings=strings))
    assert atoms.get(b"$erlport.opaque", False, 0) is atoms.marker
    assert atoms.get(b"$erlport.opaque", True, 0) is atoms.marker


def test_both_encodings_are_kept_apart() -> None:
    atoms = Atoms(Options(strings="str"))
    assert atoms.get(b"\xc3\xa9", False, 0) == Atom("é")
    assert atoms.get(b"\xc3\xa9", True, 0) == Atom("Ã©")


def test_what_is_no_atom() -> None:
    atoms = Atoms(Options())
    with raising(DecodeError, got="an invalid name", offset=7):
        atoms.get(b"\xff", False, 7)
    with raising(DecodeError, got="a longer name", offset=8):
        atoms.get(b"x" * 256, True, 8)
    assert (atoms.utf8, atoms.latin) == ({}, {})


def test_tables_start_anew() -> None:
    atoms = Atoms(Options())
    for number in range(4096):
        atoms.get(b"%d" % number, False, 0)
    assert len(atoms.utf8) == 4096
    atoms.get(b"0", True, 0)
    atoms.get(b"0", False, 0)
    assert len(atoms.utf8) == 4096
    atoms.get(b"another", False, 0)
    assert atoms.utf8 == {b"another": ByteAtom("another")}
    assert len(atoms.latin) == 1


def test_counted_atoms_are_limited_and_start_from_none() -> None:
    shared = Atoms(Options(max_atoms=2))
    shared.get(b"a", False, 0)
    counted = shared.counted()
    for _ in range(3):
        counted.get(b"a", False, 1)
        counted.get(b"b", True, 2)
    for _ in range(2):
        with raising(DecodeLimitError, limit="max_atoms", maximum=2, got="3 different atoms", offset=3):
            counted.get(b"c", False, 3)
    assert shared.utf8 == {b"a": ByteAtom("a")}
