"""Atoms of both mappings."""

import copy
import pickle

import pytest

from dspex_erl.terms import Atom, ByteAtom, _atom


class TestAtom:
    def test_is_its_name(self) -> None:
        atom = Atom("ok")
        assert atom == "ok"
        assert {atom: 1}["ok"] == 1
        assert type(atom.name) is str
        assert repr(atom) == "Atom('ok')"
        assert Atom(b"\xc3\xa9") == "é"
        assert Atom(atom) is atom
        assert Atom(ByteAtom("日")) == "日"

    def test_of_a_subclass(self) -> None:
        class Mine(Atom):
            pass

        assert type(Mine(Atom("a"))) is Mine
        assert type(Atom(Mine("a"))) is Atom

    @pytest.mark.parametrize("name", [5, None, ["a"], bytearray(b"a")])
    def test_no_name(self, name: object) -> None:
        with pytest.raises(TypeError, match=type(name).__name__):
            Atom(name)  # type: ignore[arg-type]

    def test_length(self) -> None:
        assert len(Atom("😀" * 255)) == 255
        with pytest.raises(ValueError, match="256"):
            Atom("a" * 256)

    @pytest.mark.parametrize("name", ["\ud800", b"\xff", b"\xed\xa0\x80"])
    def test_what_is_no_text(self, name: object) -> None:
        with pytest.raises(ValueError, match=r"surrogate|utf-8"):
            Atom(name)  # type: ignore[arg-type]

    def test_copies(self) -> None:
        for copied in (pickle.loads(pickle.dumps(Atom("é"))), copy.deepcopy(Atom("é"))):
            assert (type(copied), copied) == (Atom, "é")


class TestByteAtom:
    def test_is_its_name_in_latin_1(self) -> None:
        atom = ByteAtom(b"ok")
        assert atom == b"ok"
        assert {atom: 1}[b"ok"] == 1
        assert atom.name == "ok"
        assert repr(atom) == "Atom(b'ok')"
        assert ByteAtom("é") == b"\xe9"
        assert ByteAtom(b"\xe9").name == "é"
        assert ByteAtom("ok") is ByteAtom(b"ok") is ByteAtom(atom)

    def test_beyond_latin_1(self) -> None:
        wide = ByteAtom("日")
        narrow = ByteAtom("日".encode())
        assert isinstance(wide, ByteAtom)
        assert (wide.name, narrow.name) == ("日", "æ\x97¥")
        assert bytes(wide) == bytes(narrow)
        assert wide != narrow
        assert narrow != wide
        assert wide == ByteAtom("日") == "日".encode()
        assert not wide != ByteAtom("日")  # noqa: SIM202  # __ne__ itself
        assert wide != "日"
        assert len({wide, narrow}) == 2

    @pytest.mark.parametrize("name", [5, None, ["a"]])
    def test_no_name(self, name: object) -> None:
        with pytest.raises(TypeError, match=type(name).__name__):
            ByteAtom(name)  # type: ignore[arg-type]

    def test_length(self) -> None:
        assert ByteAtom("日" * 255).name == "日" * 255
        for name in (b"a" * 256, "日" * 256):
            with pytest.raises(ValueError, match="256"):
                ByteAtom(name)
        with pytest.raises(ValueError, match="surrogate"):
            ByteAtom("\ud800")

    def test_only_so_many_are_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ByteAtom, "_interned", {})
        monkeypatch.setattr(_atom, "_INTERNED", 2)
        first, second, third = ByteAtom("a1"), ByteAtom("a2"), ByteAtom("a3")
        assert ByteAtom("a1") is first
        assert ByteAtom("a2") is second
        assert ByteAtom("a3") is not third
        assert ByteAtom("a3") == third

    @pytest.mark.parametrize("name", ["ok", "é", "日"])
    def test_copies(self, name: str) -> None:
        atom = ByteAtom(name)
        for copied in (pickle.loads(pickle.dumps(atom)), copy.deepcopy(atom)):
            assert copied is atom
