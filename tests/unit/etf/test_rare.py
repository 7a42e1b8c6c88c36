"""What both decoders leave to Python. The decoders' own tests meet these through them; here they stand alone."""

from __future__ import annotations

import pickle
import sys
import zlib
from typing import Any

import pytest

from dspex_erl.errors import DecodeError, DecodeLimitError, EncodeError, TruncatedError
from dspex_erl.etf import _rare as rare
from dspex_erl.etf._options import Options
from dspex_erl.terms import Atom, BitString, ByteAtom, ExactKey, Fun, List, Map, OpaqueObject, Pid
from tests.coders import raising

BYTES = Options()
STR = Options(strings="str")


def packed(raw: bytes, size: int) -> bytes:
    return b"P" + size.to_bytes(4, "big") + zlib.compress(raw)


class TestInflate:
    def test_whole(self) -> None:
        raw = bytes(range(256)) * 2000
        data = b"##" + packed(raw, len(raw)) + b"tail"
        assert rare.inflate(data, 2, BYTES) == (raw, len(data) - 4)
        assert rare.inflate(memoryview(data), 2, BYTES) == (raw, len(data) - 4)
        assert rare.inflate(packed(b"", 0), 0, BYTES)[0] == b""

    def test_input_of_many_chunks(self) -> None:
        import random

        raw = random.Random(1).randbytes(300_000)
        assert rare.inflate(packed(raw, len(raw)) + b"#" * 100, 0, BYTES)[0] == raw

    @pytest.mark.parametrize("size", [0, 9, 11, 5000])
    def test_another_size(self, size: int) -> None:
        with raising(DecodeError, offset=0):
            rare.inflate(packed(b"0123456789", size), 0, BYTES)

    def test_cut(self) -> None:
        data = packed(b"0123456789", 10)
        for size in range(1, len(data)):
            with raising(TruncatedError, offset=size):
                rare.inflate(data[:size], 0, BYTES)

    def test_other_bytes(self) -> None:
        with raising(DecodeError, offset=1):
            rare.inflate(b"#P\0\0\0\5nozlib", 1, BYTES)

    def test_limit(self) -> None:
        with raising(DecodeLimitError, limit="max_inflated", maximum=9, offset=0):
            rare.inflate(b"P\0\0\0\x0a", 0, Options(max_inflated=9))


class TestLeaf:
    def test_terms(self) -> None:
        assert rare.leaf(b"#c" + b"2.5".ljust(31, b"\0"), 1, BYTES) == (2.5, 33)
        assert rare.leaf(b"M\0\0\0\1\3\xff", 0, BYTES) == (BitString(b"\xe0", 3), 7)
        assert rare.leaf(b"M\0\0\0\1\x08a", 0, BYTES) == (b"a", 7)
        assert rare.leaf(b"M\0\0\0\1\x08a", 0, STR) == ("a", 7)
        assert rare.leaf(b"M\0\0\0\1\x08\xff", 0, STR) == (b"\xff", 7)
        assert rare.leaf(b"Xw\1n" + bytes(12), 0, STR) == (Pid(Atom("n"), 0, 0, 0), 16)

    def test_faults(self) -> None:
        with raising(TruncatedError, offset=2):
            rare.leaf(b"Xw", 0, BYTES)
        with raising(DecodeError, offset=1):
            rare.leaf(b"#Xa\1", 1, BYTES)
        with raising(DecodeError, offset=0):
            rare.leaf(b"M\0\0\0\1\x09a", 0, BYTES)


class Numbered:
    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return self.number


class Broken:
    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __hash__(self) -> int:
        raise self.kind("secret")


class Incomparable:
    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise RecursionError


class TestCheckHashes:
    def test_counts(self) -> None:
        rare.check_hashes([Numbered(7) for _ in range(128)] + [Numbered(8)] * 128 + list(range(1000, 1100)), 3, BYTES)
        with raising(DecodeLimitError, limit="max_same_hash", maximum=128, offset=3, path="$"):
            rare.check_hashes([Numbered(7) for _ in range(129)], 3, BYTES)

    def test_text_is_not_counted(self) -> None:
        rare.check_hashes(["a", b"a", Atom("a"), ByteAtom(b"a")] * 200, 3, BYTES)

    def test_keys_that_raise(self) -> None:
        with pytest.raises(DecodeError) as caught:
            rare.check_hashes([Broken(ValueError)], 3, BYTES)
        assert type(caught.value.__cause__) is ValueError
        assert "secret" not in str(caught.value)
        with pytest.raises(MemoryError):
            rare.check_hashes([Broken(MemoryError)], 3, BYTES)


class TestClashing:
    def test_our_mapping_refuses(self) -> None:
        with raising(DecodeError, offset=3, path="$[1.0]"):
            rare.clashing([1, 1.0], [0, 0], 3, STR)
        assert rare.clashing([1, 2], [3, 4], 3, STR) == {1: 3, 2: 4}

    def test_erlports_mapping_keeps_all(self) -> None:
        found = rare.clashing([1, 1.0, True, 2], "abcd", 3, BYTES)
        assert type(found) is Map
        assert found == {1: "a", ExactKey(1.0): "b", ExactKey(True): "c", 2: "d"}

    @pytest.mark.parametrize("keys", [[1, 1], [1, 1.0, 1.0], [List([1]), List([1])]])
    @pytest.mark.parametrize("options", [BYTES, STR])
    def test_twice(self, keys: list[Any], options: Options) -> None:
        with pytest.raises(DecodeError) as caught:
            rare.clashing(keys, [0] * 3, 3, options)
        assert (caught.value.offset, caught.value.path[:2]) == (3, "$[")

    def test_keys_that_raise(self) -> None:
        with raising(DecodeError, offset=3, path="$"):
            rare.clashing([Broken(ValueError)], [0], 3, BYTES)
        with raising(DecodeError, offset=3, path="$"):
            rare.clashing([Incomparable(), Incomparable()], [0, 0], 3, BYTES)
        with pytest.raises(MemoryError):
            rare.clashing([Broken(MemoryError)], [0], 3, BYTES)


class TestStruct:
    def test_hook(self) -> None:
        options = Options(strings="str", structs={"A": lambda fields: sorted(fields)})
        assert rare.struct({Atom("__struct__"): Atom("A"), "x": 1}, 0, options) == ["__struct__", "x"]
        options = Options(structs={"A": type})
        assert rare.struct(Map({ByteAtom(b"__struct__"): ByteAtom(b"A")}), 0, options) is dict

    @pytest.mark.parametrize(
        "mapping",
        [{}, {"__struct__": Atom("A")}, {Atom("__struct__"): "A"}, {Atom("__struct__"): Atom("B")}, {Atom("__struct__"): 1}],
    )
    def test_none(self, mapping: Any) -> None:
        assert rare.struct(mapping, 0, Options(strings="str", structs={"A": type})) is mapping

    @pytest.mark.parametrize(
        ("kind", "outside"), [(KeyError, DecodeError), (RecursionError, DecodeError), (MemoryError, MemoryError)]
    )
    def test_faults(self, kind: type[Exception], outside: type[Exception]) -> None:
        def hook(fields: Any) -> Any:
            raise kind("secret")

        with pytest.raises(outside) as caught:
            rare.struct({Atom("__struct__"): Atom("A")}, 4, Options(strings="str", structs={"A": hook}))
        if outside is DecodeError:
            assert caught.value.offset == 4  # type: ignore[attr-defined]
            assert "secret" not in str(caught.value)


def unpickles_badly() -> Any:
    raise MemoryError


class Heavy:
    def __reduce__(self) -> Any:
        return unpickles_badly, ()


class TestOpaque:
    MARK = Atom("$erlport.opaque")

    @pytest.mark.parametrize(
        "items",
        [(1, 2, 3), ("$erlport.opaque", Atom("x"), b""), (Atom("x"), Atom("x"), b""), (MARK, b"x", b""), (MARK, Atom("x"), [])],
    )
    def test_none(self, items: Any) -> None:
        assert rare.opaque(items, 0, BYTES) is items

    @pytest.mark.parametrize("payload", [b"x", "x", memoryview(b"x")])
    def test_payloads(self, payload: Any) -> None:
        assert rare.opaque((self.MARK, Atom("ruby"), payload), 0, STR) == OpaqueObject(b"x", ByteAtom(b"ruby"))

    def test_pickles(self) -> None:
        items = (self.MARK, ByteAtom(b"python"), pickle.dumps({1}))
        with raising(DecodeError, offset=5):
            rare.opaque(items, 5, BYTES)
        assert rare.opaque(items, 5, Options(allow_pickle=True)) == {1}
        with raising(DecodeError, offset=5):
            rare.opaque((self.MARK, Atom("python"), b"junk"), 5, Options(allow_pickle=True))
        with pytest.raises(MemoryError):
            rare.opaque((self.MARK, Atom("python"), pickle.dumps(Heavy())), 5, Options(allow_pickle=True))


def test_raw() -> None:
    assert rare.raw("x", BYTES) is None
    assert rare.raw(BitString(b"\x80", 1), BYTES) == b"M\0\0\0\1\1\x80"
    with raising(EncodeError, path="$"):
        rare.raw(Fun(b"junk"), BYTES)


def test_hashes_of_text_are_salted() -> None:
    """The reason why they need no counting."""
    assert sys.flags.hash_randomization
