"""Terms that only mean something to a node: read, written and stepped over."""

from __future__ import annotations

from typing import Any

import pytest

from dspex_erl.etf import _foreign as foreign
from dspex_erl.etf._faults import Refusal, Short
from dspex_erl.terms import Atom, BitString, ByteAtom, Export, Fun, OpaqueObject, Pid, Port, Reference

NODE = b"w\x03n@h"
N = Atom("n@h")
W = bytes(4)
PID = b"X" + NODE + W * 3
OLD_PID = b"g" + NODE + W * 2 + b"\1"
OLD_FUN = b"u\0\0\0\1" + OLD_PID + b"w\1m" + b"a\1" + b"b\0\0\1\0" + b"a\x07"


def new_fun(*free: bytes, size: int = 0, pid: bytes = PID, index: bytes = b"a\1") -> bytes:
    body = b"\x02" + b"u" * 16 + W + len(free).to_bytes(4, "big") + b"w\1m" + index + b"b\0\0\1\0" + pid + b"".join(free)
    return b"p" + (size + 4 + len(body)).to_bytes(4, "big") + body


WELL_FORMED = [
    b"a\1", b"b\0\0\0\1", b"F" + bytes(8), b"F\x7f\xef" + b"\xff" * 6, b"c" + b"1.5".ljust(31, b"\0"), b"j",
    b"k\0\2ab", b"m\0\0\0\2ab", b"M\0\0\0\1\3a", b"M\0\0\0\1\x08a", b"M\0\0\0\0\0", b"n\1\0\1", b"o\0\0\0\1\0\1",
    b"w\2ok", b"v\0\2ok", b"s\2ok", b"d\0\2ok", b"h\2a\1j", b"i\0\0\0\1j", b"l\0\0\0\1a\1j", b"l\0\0\0\1a\1a\2", b"t\0\0\0\1a\1j",
    PID, OLD_PID, b"Y" + NODE + W * 2, b"x" + NODE + W * 3, b"f" + NODE + W + b"\1", b"Z\0\2" + NODE + W * 3, b"r\0\1" + NODE + b"\1" + W,
    b"e" + NODE + W + b"\1", b"qw\1mw\1fa\1", new_fun(), new_fun(b"a\1", new_fun(b"j"), b"h\1" + new_fun()), OLD_FUN, b"h\2" + OLD_FUN + b"j",
]  # fmt: skip
MALFORMED = [
    b"\0", b"P\0\0\0\1", b"F\x7f\xf0" + bytes(6), b"F\xff\xff" + bytes(6), b"c" + b"nan".ljust(31, b"\0"), b"M\0\0\0\1\0a", b"M\0\0\0\1\x09a", b"M\0\0\0\0\1",
    b"w\1\xff", b"v\1\0" + b"a" * 256, b"h\1\0", b"Xa\1" + W * 3, b"Z\0\0" + NODE + W, b"r\0\6" + NODE + W * 7, b"qw\1mw\1fb\0\0\0\1",
    new_fun(size=1) + b"j", new_fun(b"a\1", size=-1), new_fun(pid=b"j"), new_fun(index=b"j"), b"u\0\0\0\0a\1",
]  # fmt: skip


class TestSkip:
    @pytest.mark.parametrize("raw", WELL_FORMED)
    def test_well_formed(self, raw: bytes) -> None:
        assert foreign.skip_term(b"##" + raw + b"##", 2) == 2 + len(raw)
        assert foreign.skip_term(memoryview(raw), 0) == len(raw)

    @pytest.mark.parametrize("raw", WELL_FORMED)
    def test_cut(self, raw: bytes) -> None:
        for size in range(len(raw)):
            with pytest.raises(Short):
                foreign.skip_term(raw[:size], 0)

    @pytest.mark.parametrize("raw", MALFORMED)
    def test_malformed(self, raw: bytes) -> None:
        with pytest.raises(Refusal):
            foreign.skip_term(raw, 0)

    def test_depth_costs_nothing(self) -> None:
        raw = b"h\1" * 1_000_000 + b"j"
        assert foreign.skip_term(raw, 0) == len(raw)
        raw = b"j"
        for _ in range(300):
            raw = new_fun(raw)
        assert foreign.skip_term(raw, 0) == len(raw)


PACKED: list[tuple[Any, bytes]] = [
    (Pid(N, 0, 0, 0), PID),
    (Port(N, 0, 0), b"Y" + NODE + W * 2),
    (Port(N, 2**32, 0), b"x" + NODE + b"\0\0\0\1" + W * 2),
    (Reference(N, 0, (0, 0)), b"Z\0\2" + NODE + W * 3),
    (Export(Atom("m"), Atom("f"), 1), b"qw\1mw\1fa\1"),
    (Fun(new_fun()), new_fun()),
    (Fun(OLD_FUN), OLD_FUN),
    (BitString(b"a", 3), b"M\0\0\0\1\3a"),
    (OpaqueObject(PID, ByteAtom(b"erlang")), PID),
]


@pytest.mark.parametrize(("value", "raw"), PACKED)
def test_pack(value: Any, raw: bytes) -> None:
    assert foreign.pack_term(value, True) == foreign.pack_term(value, False) == raw


def test_pack_opaque_follows_the_mapping() -> None:
    value = OpaqueObject(b"x", ByteAtom("日"))
    assert foreign.pack_term(value, True) == b"h\3d\0\x0f$erlport.opaquew\3\xe6\x97\xa5m\0\0\0\1x"
    assert foreign.pack_term(value, False) == b"h\3w\x0f$erlport.opaquew\3\xe6\x97\xa5m\0\0\0\1x"


@pytest.mark.parametrize(
    "value",
    [
        Pid(N, -1, 0, 0),
        Pid(5, 0, 0, 0),  # type: ignore[arg-type]
        Pid("a" * 256, 0, 0, 0),  # type: ignore[arg-type]
        Pid(N, "x", 0, 0),  # type: ignore[arg-type]
        Port(N, None, 0),  # type: ignore[arg-type]
        Reference(N, 0, ()),
        Reference(N, 0, (1,) * 6),
        Reference(N, 0, 5),  # type: ignore[arg-type]
        Export(N, N, 256),
        Fun(b"junk"),
        Fun(bytearray(new_fun())),  # type: ignore[arg-type]
        Fun(new_fun() + b"j"),
        Fun(new_fun()[:-1]),
        BitString("a", 3),  # type: ignore[arg-type]
        OpaqueObject(b"", ByteAtom(b"erlang")),
    ],
)
def test_pack_refuses(value: Any) -> None:
    with pytest.raises(Refusal, match="fields"):
        foreign.pack_term(value, False)


@pytest.mark.parametrize(
    ("name", "latin", "raw"), [("é", True, b"d\0\1\xe9"), ("é", False, b"w\2\xc3\xa9"), ("日", True, b"w\3\xe6\x97\xa5")]
)
def test_pack_atom(name: str, latin: bool, raw: bytes) -> None:
    assert foreign.pack_atom(name, latin) == raw
    assert foreign.pack_atom("😀" * 64, latin)[:3] == b"v\1\0"


@pytest.mark.parametrize(
    "raw", [b"5", b"1e5", b" 1.0", b"1_0.0", b"inf", b"nan", b"0x1.0", b"1.0e999", b"1.0\0 ", b".5", b"\xd9\xa1.0", b""]
)
def test_no_float(raw: bytes) -> None:
    with pytest.raises(Refusal):
        foreign.read_float_text(raw.ljust(31, b"\0"))


def test_float_text() -> None:
    assert foreign.read_float_text(b"-2.50000000000000000000e+00".ljust(31, b"\0")) == -2.5
    assert foreign.read_float_text(b"1.0E3".ljust(31, b"\0")) == 1000.0


class TestOpaque:
    def test_leaves_in_our_mapping(self) -> None:
        for value, raw in PACKED[:-1]:
            assert foreign.read_opaque("erlang", raw, "str") == (value if raw != b"M\0\0\0\1\3a" else BitString(b"`", 3))
            assert foreign.read_opaque("erlang", raw, "bytes") == OpaqueObject(raw, ByteAtom(b"erlang"))
            assert foreign.read_opaque("ruby", raw, "str") == OpaqueObject(raw, ByteAtom(b"ruby"))

    @pytest.mark.parametrize(
        "raw", [b"", b"a\1", PID + b"j", PID[:-1], b"M\0\0\0\1\3ab", b"M\0\0\0\1\x09a", b"M", b"M\0\0\0\1\x08a", b"Xa\1"]
    )
    def test_others(self, raw: bytes) -> None:
        assert foreign.read_opaque("erlang", raw, "str") == OpaqueObject(raw, ByteAtom(b"erlang"))


def test_bits() -> None:
    assert foreign.read_bits(b"ab", 8) is None
    assert foreign.read_bits(b"", 0) is None
    assert foreign.read_bits(b"\xff\xff", 1) == BitString(b"\xff\x80", 1)
    assert foreign.read_bits(b"\xff", 7) == BitString(b"\xfe", 7)
