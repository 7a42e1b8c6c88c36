"""Encoding, by both coders: every type, both mappings, every limit, hooks, and where errors say they are."""

from __future__ import annotations

import gc
import math
import struct
import sys
import threading
import tracemalloc
from collections import OrderedDict, defaultdict, namedtuple
from typing import Any

import pytest

from dspex_erl.errors import EncodeError, EncodeLimitError
from dspex_erl.etf._options import LARGE_BINARY, Options
from dspex_erl.terms import (
    Atom,
    BitString,
    ByteAtom,
    ExactKey,
    Export,
    Fun,
    ImproperList,
    List,
    Map,
    OpaqueObject,
    Pid,
    Port,
    Reference,
)
from tests.coders import Coder, raising

V = b"\x83"
N = Atom("n@h")
NODE = b"w\x03n@h"
POINT = namedtuple("POINT", "x y")


def u32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def double(number: float) -> bytes:
    return b"F" + struct.pack(">d", number)


def listing(*items: bytes) -> bytes:
    return b"l" + u32(len(items)) + b"".join(items) + b"j"


SAME: Any = object()
# The value, its bytes in the mapping of ErlPort, and in ours where they differ.
VALUES: list[tuple[Any, bytes, Any]] = [
    (0, b"a\x00", SAME),
    (255, b"a\xff", SAME),
    (256, b"b\0\0\1\0", SAME),
    (-1, b"b\xff\xff\xff\xff", SAME),
    (2**31 - 1, b"b\x7f\xff\xff\xff", SAME),
    (-(2**31), b"b\x80\0\0\0", SAME),
    (2**31, b"n\x04\0\0\0\0\x80", SAME),
    (-(2**31) - 1, b"n\x04\1\1\0\0\x80", SAME),
    (2**64, b"n\x09\0" + b"\0" * 8 + b"\1", SAME),
    (2**2040 - 1, b"n\xff\0" + b"\xff" * 255, SAME),
    (-(2**2040), b"o\0\0\1\0\1" + b"\0" * 255 + b"\1", SAME),
    (1.5, double(1.5), SAME),
    (-0.0, double(-0.0), SAME),
    (5e-324, double(5e-324), SAME),
    (True, b"d\0\4true", b"w\4true"),
    (False, b"d\0\5false", b"w\5false"),
    (None, b"d\0\x09undefined", b"w\3nil"),
    (Atom("ok"), b"d\0\2ok", b"w\2ok"),
    (Atom(""), b"d\0\0", b"w\0"),
    (Atom("é"), b"d\0\1\xe9", b"w\2\xc3\xa9"),
    (Atom("日"), b"w\3\xe6\x97\xa5", SAME),
    (Atom("😀" * 255), b"v\3\xfc" + "😀".encode() * 255, SAME),
    (Atom("é" * 200), b"d\0\xc8" + b"\xe9" * 200, b"v\1\x90" + "é".encode() * 200),
    (ByteAtom(b"ok"), b"d\0\2ok", b"w\2ok"),
    (ByteAtom(b"\xe9"), b"d\0\1\xe9", b"w\2\xc3\xa9"),
    (ByteAtom("日"), b"w\3\xe6\x97\xa5", SAME),
    (b"", b"m\0\0\0\0", SAME),
    (b"hello", b"m\0\0\0\5hello", SAME),
    (b"x" * 300, b"m\0\0\1\x2c" + b"x" * 300, SAME),
    ("", b"j", b"m\0\0\0\0"),
    ("hello", b"k\0\5hello", b"m\0\0\0\5hello"),
    ("é", b"k\0\1\xe9", b"m\0\0\0\2\xc3\xa9"),
    ("é" * 200, b"k\0\xc8" + b"\xe9" * 200, b"m\0\0\1\x90" + "é".encode() * 200),
    ("a日", listing(b"a\x61", b"b\0\0\x65\xe5"), b"m\0\0\0\4a\xe6\x97\xa5"),
    ("a" * 65535, b"k\xff\xff" + b"a" * 65535, b"m\0\0\xff\xff" + b"a" * 65535),
    ("a" * 65536, b"l\0\1\0\0" + b"aa" * 65536 + b"j", b"m\0\1\0\0" + b"a" * 65536),
    ([], b"j", SAME),
    (List(), b"j", SAME),
    ((), b"h\0", SAME),
    ({}, b"t\0\0\0\0", SAME),
    (Map(), b"t\0\0\0\0", SAME),
    ([1, 2, 255], b"k\0\3\1\2\xff", SAME),
    (List([1, 2]), b"k\0\2\1\2", SAME),
    ([0] * 65535, b"k\xff\xff" + bytes(65535), SAME),
    ([7] * 65536, b"l\0\1\0\0" + b"a\7" * 65536 + b"j", SAME),
    ([True, False], b"l\0\0\0\2d\0\4trued\0\5falsej", b"l\0\0\0\2w\4truew\5falsej"),
    ([1, True], b"l\0\0\0\2a\1d\0\4truej", b"l\0\0\0\2a\1w\4truej"),
    ([1] * 9 + [True], b"l\0\0\0\x0a" + b"a\1" * 9 + b"d\0\4truej", b"l\0\0\0\x0a" + b"a\1" * 9 + b"w\4truej"),
    ([256], listing(b"b\0\0\1\0"), SAME),
    ([1, -1], listing(b"a\1", b"b\xff\xff\xff\xff"), SAME),
    ([1.5, 2], listing(double(1.5), b"a\2"), SAME),
    ([1.5] * 7, listing(*[double(1.5)] * 7), SAME),
    ([-1.5] * 2000, listing(*[double(-1.5)] * 2000), SAME),
    ([1.7e308] * 9, listing(*[double(1.7e308)] * 9), SAME),
    ([0.5] * 9 + [1], listing(*[double(0.5)] * 9, b"a\1"), SAME),
    ([300] * 8, listing(*[b"b\0\0\1\x2c"] * 8), SAME),
    ([300] * 2000 + [5] + [-1] * 10, listing(*[b"b\0\0\1\x2c"] * 2000, b"a\5", *[b"b\xff\xff\xff\xff"] * 10), SAME),
    ([300, 5] * 50, listing(*[b"b\0\0\1\x2c", b"a\5"] * 50), SAME),
    ([0x62000000, 300] * 20, listing(*[b"b\x62\0\0\0", b"b\0\0\1\x2c"] * 20), SAME),
    ([0x62000000, 5] + [300] * 60, listing(b"b\x62\0\0\0", b"a\5", *[b"b\0\0\1\x2c"] * 60), SAME),
    ([0x0162, 5, 0] + [300] * 60, listing(b"b\0\0\1\x62", b"a\5", b"a\0", *[b"b\0\0\1\x2c"] * 60), SAME),
    ([2**31] * 9, listing(*[b"n\4\0\0\0\0\x80"] * 9), SAME),
    ([300] * 9 + [None], listing(*[b"b\0\0\1\x2c"] * 9, b"d\0\x09undefined"), listing(*[b"b\0\0\1\x2c"] * 9, b"w\3nil")),
    ([[]], b"l\0\0\0\1jj", SAME),
    ([b"a", (1, [2])], listing(b"m\0\0\0\1a", b"h\2a\1k\0\1\2"), SAME),
    (ImproperList([1], 2), b"l\0\0\0\1a\1a\2", SAME),
    (ImproperList([[]], b"x"), b"l\0\0\0\1jm\0\0\0\1x", SAME),
    (ImproperList([1], ImproperList([2], 3)), b"l\0\0\0\1a\1l\0\0\0\1a\2a\3", SAME),
    ((1, 2), b"h\2a\1a\2", SAME),
    ((1,) * 255, b"h\xff" + b"a\1" * 255, SAME),
    ((1,) * 256, b"i\0\0\1\0" + b"a\1" * 256, SAME),
    (((), ((),)), b"h\2h\0h\1h\0", SAME),
    ({1: 2}, b"t\0\0\0\1a\1a\2", SAME),
    ({"a": []}, b"t\0\0\0\1k\0\1aj", b"t\0\0\0\1m\0\0\0\1aj"),
    ({b"a": b"b"}, b"t\0\0\0\1m\0\0\0\1am\0\0\0\1b", SAME),
    ({Atom("a"): [], Atom("b"): ()}, b"t\0\0\0\2d\0\1ajd\0\1bh\0", b"t\0\0\0\2w\1ajw\1bh\0"),
    ({ByteAtom(b"a"): [], Atom("b"): ()}, b"t\0\0\0\2d\0\1ajd\0\1bh\0", b"t\0\0\0\2w\1ajw\1bh\0"),
    ({"a": 1, 2: 3, b"c": 4}, b"t\0\0\0\3k\0\1aa\1a\2a\3m\0\0\0\1ca\4", b"t\0\0\0\3m\0\0\0\1aa\1a\2a\3m\0\0\0\1ca\4"),
    ({1: 1, 300: 2, -1: 3, 2**40: 4}, b"t\0\0\0\4a\1a\1b\0\0\1\x2ca\2b\xff\xff\xff\xffa\3n\6\0\0\0\0\0\0\1a\4", SAME),
    ({(1, 2): 3}, b"t\0\0\0\1h\2a\1a\2a\3", SAME),
    ({b"k" * 65: 1, b"l" * 70: 2}, b"t\0\0\0\2m\0\0\0\x41" + b"k" * 65 + b"a\1m\0\0\0\x46" + b"l" * 70 + b"a\2", SAME),
    (
        {"k" * 65: 1, "日": 2},
        b"t\0\0\0\2k\0\x41" + b"k" * 65 + b"a\1" + listing(b"b\0\0\x65\xe5") + b"a\2",
        b"t\0\0\0\2m\0\0\0\x41" + b"k" * 65 + b"a\1m\0\0\0\3\xe6\x97\xa5a\2",
    ),
    ({List([1]): 1, Map({1: 2}): 2}, b"t\0\0\0\2k\0\1\1a\1t\0\0\0\1a\1a\2a\2", SAME),
    (
        {1.5: 1, True: 2, None: 3},
        b"t\0\0\0\3" + double(1.5) + b"a\1d\0\4truea\2d\0\x09undefineda\3",
        b"t\0\0\0\3" + double(1.5) + b"a\1w\4truea\2w\3nila\3",
    ),
    (Map({1: {2: 3}}), b"t\0\0\0\1a\1t\0\0\0\1a\2a\3", SAME),
    ({1: 1, ExactKey(1.0): 2}, b"t\0\0\0\2a\1a\1" + double(1.0) + b"a\2", SAME),
    (ExactKey(5), b"a\5", SAME),
    (ExactKey((1, b"x")), b"h\2a\1m\0\0\0\1x", SAME),
    (Pid(N, 1, 2, 3), b"X" + NODE + u32(1) + u32(2) + u32(3), SAME),
    (Port(N, 1, 2), b"Y" + NODE + u32(1) + u32(2), SAME),
    (Port(N, 2**32, 2), b"x" + NODE + u32(1) + u32(0) + u32(2), SAME),
    (Reference(N, 3, (1, 2)), b"Z\0\2" + NODE + u32(3) + u32(1) + u32(2), SAME),
    (Export(Atom("m"), Atom("f"), 2), b"qw\1mw\1fa\2", SAME),
    (BitString(b"\x80", 1), b"M\0\0\0\1\1\x80", SAME),
    (OpaqueObject(b"X" + NODE + bytes(12), ByteAtom(b"erlang")), b"X" + NODE + bytes(12), SAME),
    (
        OpaqueObject(b"x", ByteAtom(b"ruby")),
        b"h\3d\0\x0f$erlport.opaqued\0\4rubym\0\0\0\1x",
        b"h\3w\x0f$erlport.opaquew\4rubym\0\0\0\1x",
    ),
    (math.nan, b"d\0\3nan", b"w\3nan"),
    (math.inf, b"d\0\x08infinity", b"w\x08infinity"),
    (-math.inf, b"d\0\x0cneg_infinity", b"w\x0cneg_infinity"),
    ([1.0] * 9 + [math.inf], listing(*[double(1.0)] * 9, b"d\0\x08infinity"), listing(*[double(1.0)] * 9, b"w\x08infinity")),
    (bytearray(b"ab"), b"m\0\0\0\2ab", SAME),
    (memoryview(b"abcd")[1:3], b"m\0\0\0\2bc", SAME),
    (memoryview(b"abcd")[::2], b"m\0\0\0\2ac", SAME),
    (memoryview(b""), b"m\0\0\0\0", SAME),
    (frozenset({5}), b"k\0\1\5", SAME),
    (POINT(1, ()), b"h\2a\1h\0", SAME),
    (OrderedDict(a=1), b"t\0\0\0\1k\0\1aa\1", b"t\0\0\0\1m\0\0\0\1aa\1"),
    (defaultdict(int, {1: 2}), b"t\0\0\0\1a\1a\2", SAME),
]


def improper(items: list[Any], tail: Any) -> ImproperList:
    """Without the checks of the constructor."""
    value = list.__new__(ImproperList)
    list.extend(value, items)
    object.__setattr__(value, "tail", tail)
    return value


VALUES += [
    (improper([], 5), b"a\5", SAME),
    (improper([], ImproperList([1], 2)), b"l\0\0\0\1a\1a\2", SAME),
]


def expected(row: tuple[Any, bytes, Any], strings: str) -> bytes:
    return V + (row[1] if strings == "bytes" or row[2] is SAME else row[2])


@pytest.mark.parametrize("row", VALUES, ids=[f"{index}-{type(row[0]).__name__}" for index, row in enumerate(VALUES)])
class TestEveryType:
    def test_alone(self, coder: Coder, strings: str, row: Any) -> None:
        assert coder.encode(row[0], strings=strings) == expected(row, strings)

    def test_among_others(self, coder: Coder, strings: str, row: Any) -> None:
        raw = expected(row, strings)[1:]
        assert coder.encode((row[0], [row[0], b""], {1: row[0]}), strings=strings) == (
            V + b"h\3" + raw + listing(raw, b"m\0\0\0\0") + b"t\0\0\0\1a\1" + raw
        )

    def test_twice_with_one_encoder(self, coder: Coder, strings: str, row: Any) -> None:
        encoder = coder.encoder_class(Options(strings=strings))
        assert encoder.encode(row[0]) == encoder.encode(row[0]) == expected(row, strings)

    def test_in_pieces(self, coder: Coder, strings: str, row: Any) -> None:
        assert b"".join(coder.encode_iovec(row[0], strings=strings)) == expected(row, strings)

    def test_within_its_size(self, coder: Coder, strings: str, row: Any) -> None:
        size = len(expected(row, strings))
        assert len(coder.encode(row[0], strings=strings, max_bytes=size)) == size
        for call in (coder.encode, coder.encode_iovec):
            with raising(EncodeLimitError, limit="max_bytes", maximum=size - 1, path="$"):
                call(row[0], strings=strings, max_bytes=size - 1)


class TestFaults:
    @pytest.mark.parametrize(
        ("value", "path"),
        [
            (1j, "$"),
            ([1, object()], "$[1]"),
            ((1, [2, 1j]), "$[1][1]"),
            ({"a": 1j}, "$['a']"),
            ({"a": 1, "b": {2: [1j]}}, "$['b'][2][0]"),
            ({1: 1, 1j: 2}, "$[1]"),
            ({1: 1, (1, 1j): 2}, "$[1][1]"),
            ({(1,): 1, (2,): 1j}, "$[a tuple key]"),
            (ImproperList([1], 1j), "$[1]"),
            (ImproperList([1j], 1), "$[0]"),
            (ExactKey([1j]), "$[0]"),
            ([frozenset({1j})], "$[0][0]"),
            ([POINT(1, 1j)], "$[0][1]"),
            ([range(3)], "$[0]"),
            ([iter([])], "$[0]"),
            ([1] * 20 + [1j], "$[20]"),
            ([1.5] * 20 + [1j], "$[20]"),
            ([Pid(N, -1, 0, 0)], "$[0]"),
            ([Pid(N, 2**32, 0, 0)], "$[0]"),
            ([Pid(1, 0, 0, 0)], "$[0]"),  # type: ignore[arg-type]
            ([Port(N, 2**64, 0)], "$[0]"),
            ([Reference(N, 0, ())], "$[0]"),
            ([Reference(N, 0, (1,) * 6)], "$[0]"),
            ([Export(N, N, 256)], "$[0]"),
            ([Fun(b"")], "$[0]"),
            ([Fun(b"a\1")], "$[0]"),
            ([Fun(b"p\0\0")], "$[0]"),
            ([OpaqueObject(b"", ByteAtom(b"erlang"))], "$[0]"),
            ([OpaqueObject(b"a\1a\2", ByteAtom(b"erlang"))], "$[0]"),
            ([OpaqueObject(b"\xff", ByteAtom(b"erlang"))], "$[0]"),
        ],
    )
    def test_place(self, coder: Coder, value: Any, path: str) -> None:
        with raising(EncodeError, path=path):
            coder.encode(value)
        with raising(EncodeError, path=path):
            coder.encode_iovec(value, strings="str")

    def test_text_says_the_type_and_never_the_value(self, coder: Coder) -> None:
        secret = type("Secret" * 30, (), {"__repr__": lambda self: "hunter2"})()
        with pytest.raises(EncodeError) as caught:
            coder.encode({"a": [secret]}, strings="str")
        assert str(caught.value).startswith("expected a value with an Erlang counterpart, got ")
        assert str(caught.value).endswith(", at $['a'][0]")
        assert "SecretSecret" in caught.value.got
        assert len(caught.value.got) <= 100
        assert "hunter2" not in str(caught.value)

    @pytest.mark.parametrize(
        ("value", "path"), [("\ud800", "$"), ([1, "a\udfff"], "$[1]"), ({"\ud800": 1}, "$[0]"), ({"a": "\ud800"}, "$['a']")]
    )
    def test_surrogates(self, coder: Coder, value: Any, path: str) -> None:
        with raising(EncodeError, path=path):
            coder.encode(value, strings="str")
        coder.encode(value)

    def test_surrogates_are_numbers_in_a_charlist(self, coder: Coder) -> None:
        assert coder.encode("\ud800") == V + listing(b"b\0\0\xd8\0")

    @pytest.mark.parametrize(
        ("value", "path"),
        [
            ({"a": 1, b"a": 2}, "$['a']"),
            ({"a": 1, b"b": 2, b"a": 3}, "$['a']"),
            ({Atom("a"): 1, ByteAtom(b"a"): 2}, "$['a']"),
            ({None: 1, Atom("nil"): 2}, "$['nil']"),
            ({1: 1, ExactKey(1): 2}, "$[a ExactKey key]"),
            ({"a" * 65: 1, b"a" * 65: 2}, "$['" + "a" * 38 + "…]"),
            ({("a",): 1, (b"a",): 2}, "$[a tuple key]"),
            ({float("nan"): 1, float("nan"): 2}, "$[nan]"),
            ({True: 1, Atom("true"): 2}, "$['true']"),
            ([{"a": 1, b"a": 2}], "$[0]['a']"),
        ],
    )
    def test_keys_that_are_one_term_in_erlang(self, coder: Coder, value: Any, path: str) -> None:
        with pytest.raises(EncodeError) as caught:
            coder.encode(value, strings="str")
        assert type(caught.value) is EncodeError
        assert caught.value.path.replace("b'", "'") == path

    def test_a_path_is_cut_after_sixteen_steps(self, coder: Coder) -> None:
        for depth in (16, 17, 100):
            value: Any = 1j
            for _ in range(depth):
                value = [value]
            with raising(EncodeError, path="$" + "[0]" * 16 + "…" * (depth > 16)):
                coder.encode(value)

    def test_what_comes_first(self, coder: Coder) -> None:
        """A limit on size that was passed before the fault is what is reported; one that would be passed after it is not."""
        with raising(EncodeLimitError, limit="max_bytes", path="$"):
            coder.encode([b"x" * 100, 1j], max_bytes=50)
        with raising(EncodeError, path="$[0]"):
            coder.encode([1j, b"x" * 100], max_bytes=50)
        with raising(EncodeError, path="$[0]"):
            coder.encode([1j] * 100, max_bytes=50)
        with raising(EncodeError, path="$[0]"):
            coder.encode({1j: 1, **dict.fromkeys(range(100))}, max_bytes=50)


class TestLimits:
    @pytest.mark.parametrize(
        "wrap", [lambda v: (v,), lambda v: [v], lambda v: {1: v}, lambda v: ImproperList([v], 1), lambda v: Map({1: v})]
    )
    def test_max_depth(self, coder: Coder, wrap: Any) -> None:
        value = wrap(wrap(wrap(b"")))
        assert coder.encode(value, max_depth=3)
        with raising(EncodeLimitError, limit="max_depth", maximum=2):
            coder.encode(value, max_depth=2)
        with raising(EncodeLimitError, limit="max_depth", maximum=0, path="$"):
            coder.encode(value, max_depth=0)

    def test_max_depth_place(self, coder: Coder) -> None:
        with raising(EncodeLimitError, limit="max_depth", path="$[1]['a']"):
            coder.encode([1, {"a": [None]}], max_depth=2)

    @pytest.mark.parametrize("value", [(), [], {}, "", b"", [1, 2], List([1]), "abc", set(), ExactKey(()), memoryview(b"")])
    def test_what_is_not_deep(self, coder: Coder, value: Any) -> None:
        assert coder.encode(value, max_depth=0)

    @pytest.mark.parametrize("value", [[300] * 20, [1.5] * 20, [300], [7] * 65536, {1}, frozenset({b""})])
    def test_what_is_deep(self, coder: Coder, value: Any) -> None:
        value = value if type(value) is list else {b"", *value}
        assert coder.encode(value, max_depth=1)
        with raising(EncodeLimitError, limit="max_depth", path="$"):
            coder.encode(value, max_depth=0)

    def test_a_charlist_may_be_deep(self, coder: Coder) -> None:
        assert coder.encode("日", max_depth=0, strings="str")
        for text in ("日", "a" * 65536):
            assert coder.encode(text, max_depth=1)
            with raising(EncodeLimitError, limit="max_depth", path="$"):
                coder.encode(text, max_depth=0)

    @pytest.mark.parametrize(
        ("value", "elements"),
        [
            ((1, 2, b""), 3),
            ([b"", b""], 2),
            ([1, 2, 3], 3),
            ([300] * 9, 9),
            ([1.5] * 9, 9),
            ({1: 2, 3: 4}, 4),
            (ImproperList([b"", 1], 2), 2),
            (((), (1,)), 3),
            ("abc", 3),
        ],
    )
    def test_max_elements(self, coder: Coder, value: Any, elements: int) -> None:
        assert coder.encode(value, max_elements=elements)
        with raising(EncodeLimitError, limit="max_elements", maximum=elements - 1):
            coder.encode(value, max_elements=elements - 1)

    @pytest.mark.parametrize("key", ["abc", "日本語", "é" * 70])
    def test_keys_that_are_charlists_are_counted(self, coder: Coder, key: str) -> None:
        value = {"k": 1, key: 2}
        need = 4 + 1 + len(key)
        assert coder.encode(value, max_elements=need)
        with raising(EncodeLimitError, limit="max_elements", maximum=need - 1, path="$[1]"):
            coder.encode(value, max_elements=need - 1)
        with raising(EncodeLimitError, limit="max_elements", maximum=4, path="$[0]"):
            coder.encode(value, max_elements=4)
        if key == "日本語":
            with raising(EncodeLimitError, limit="max_depth", maximum=1, path="$[1]"):
                coder.encode(value, max_depth=1)

    def test_text_is_not_counted_in_our_mapping(self, coder: Coder) -> None:
        assert coder.encode("abc", strings="str", max_elements=0)

    def test_max_digits(self, coder: Coder) -> None:
        for value in (2**32 - 1, -(2**32 - 1)):
            assert coder.encode([value], max_digits=4)
            with raising(EncodeLimitError, limit="max_digits", maximum=3, path="$[0]"):
                coder.encode([value], max_digits=3)
        with raising(EncodeLimitError, limit="max_digits", path="$[0]"):
            coder.encode({2**40: 1}, max_digits=3)
        assert coder.encode(2**31 - 1, max_digits=0)

    def test_sizes_are_counted_as_they_grow(self, coder: Coder) -> None:
        """A small value that stands for many bytes is stopped early."""
        text = "x" * 100_000
        for value in (
            [text] * 100_000,
            [text.encode()] * 100_000,
            [{text: 1}] * 100_000,
            [2**800_000] * 100_000,
            [memoryview(text.encode())] * 100_000,
            [[300] * 20_000] * 100_000,
            [OpaqueObject(b"m" + u32(len(text)) + text.encode(), ByteAtom(b"erlang"))] * 100_000,
        ):
            tracemalloc.start()
            try:
                for strings in ("bytes", "str"):
                    with raising(EncodeLimitError, limit="max_bytes", maximum=1_000_000, path="$"):
                        coder.encode(value, max_bytes=1_000_000, strings=strings)
                assert tracemalloc.get_traced_memory()[1] < 12_000_000
            finally:
                tracemalloc.stop()


class TestDepth:
    @pytest.mark.parametrize("kind", ["tuple", "list", "dict", "improper"])
    def test_a_million_containers(self, coder: Coder, kind: str) -> None:
        depth = 1_000_000
        value: Any = b""
        layers = []
        for _ in range(depth):
            if kind == "tuple":
                value = (value,)
            elif kind == "list":
                value = [value]
            elif kind == "dict":
                value = {1: value}
            else:
                value = improper([value], 1)
            layers.append(value)
        try:
            size = {"tuple": 2, "list": 6, "dict": 7, "improper": 7}[kind] * depth + 6
            assert len(coder.encode(value, max_depth=2_000_000)) == size
        finally:
            # Outermost first, so that freeing it does not recurse.
            del value
            while layers:
                layers.pop()

    def test_a_cycle_ends(self, coder: Coder) -> None:
        cycle: list[Any] = []
        cycle.append(cycle)
        with raising(EncodeLimitError, limit="max_depth", maximum=10_000, path="$" + "[0]" * 16 + "…"):
            coder.encode(cycle)
        ring: dict[Any, Any] = {}
        ring[1] = (ring,)
        with raising(EncodeLimitError, limit="max_depth"):
            coder.encode(ring)
        cycle.clear()
        ring.clear()


class TestPieces:
    def test_large_binaries_are_passed_on(self, coder: Coder, strings: str) -> None:
        large = b"x" * LARGE_BINARY
        view = memoryview(b"#" * 10 + b"y" * LARGE_BINARY)[10:]
        pieces = coder.encode_iovec((1, large, view, [large], 2), strings=strings)
        assert sum(piece is large for piece in pieces) == 2
        assert any(type(piece) is memoryview and piece.obj is view.obj for piece in pieces)
        assert b"".join(pieces) == coder.encode((1, large, view, [large], 2), strings=strings)

    def test_small_parts_are_joined(self, coder: Coder) -> None:
        large = b"x" * LARGE_BINARY
        assert [len(piece) for piece in coder.encode_iovec([b"a"] * 1000 + [large] + [b"b"] * 1000)][1:2] == [LARGE_BINARY]
        assert len(coder.encode_iovec([b"a"] * 1000 + [large] + [b"b"] * 1000)) == 3
        assert len(coder.encode_iovec([b"x" * (LARGE_BINARY - 1)] * 2)) <= 2
        assert coder.encode_iovec(large)[-1] is large

    def test_types(self, coder: Coder) -> None:
        for piece in coder.encode_iovec(
            [bytearray(b"x" * LARGE_BINARY), b"y" * LARGE_BINARY, "z" * LARGE_BINARY, 1], strings="str"
        ):
            assert type(piece) in (bytes, memoryview)


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents


class TestHooks:
    def test_encoders(self, coder: Coder) -> None:
        given = {Money: lambda money: ("money", money.cents)}
        assert coder.encode([Money(5)], strings="str", encoders=given) == coder.encode([("money", 5)], strings="str")
        assert coder.encode({Money(5): 1}, strings="str", encoders=given) == coder.encode({("money", 5): 1}, strings="str")

    def test_a_hook_that_raises(self, coder: Coder) -> None:
        def hook(money: Money) -> Any:
            raise ValueError("secret")

        with pytest.raises(EncodeError) as caught:
            coder.encode([1, Money(5)], encoders={Money: hook})
        assert caught.value.path == "$[1]"
        assert type(caught.value.__cause__) is ValueError
        assert "secret" not in str(caught.value)
        assert "Money" in str(caught.value)

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, MemoryError])
    def test_what_passes(self, coder: Coder, kind: type[BaseException]) -> None:
        def hook(money: Money) -> Any:
            raise kind

        with pytest.raises(kind):
            coder.encode([Money(5)], encoders={Money: hook})

    def test_a_hook_that_never_ends(self, coder: Coder) -> None:
        with raising(EncodeError, path="$[0]"):
            coder.encode([Money(5)], encoders={Money: lambda money: money})

    def test_a_hook_that_nests_without_end(self, coder: Coder) -> None:
        with raising(EncodeLimitError, limit="max_depth"):
            coder.encode(Money(5), encoders={Money: lambda money: [money]})

    def test_stand_ins_add_no_depth(self, coder: Coder) -> None:
        value: Any = Money(5)
        assert coder.encode([value], encoders={Money: lambda money: (money.cents,)}, max_depth=2)
        with raising(EncodeLimitError, limit="max_depth", path="$[0]"):
            coder.encode([value], encoders={Money: lambda money: (money.cents,)}, max_depth=1)
        assert coder.encode((ExactKey(ExactKey((1,))), (1,)), max_depth=2)

    @pytest.mark.parametrize("change", ["append", "clear", "pop", "replace"])
    @pytest.mark.parametrize("kind", [list, dict])
    def test_containers_that_change_meanwhile(self, coder: Coder, kind: type, change: str) -> None:
        target: Any = [Money(1), b"", Money(2), b""] if kind is list else {"a": Money(1), "b": b"", "c": Money(2), 4: b""}

        def hook(money: Money) -> Any:
            if change == "clear":
                target.clear()
            elif change == "append":
                target.append(1) if kind is list else target.update({f"n{len(target)}": 1})
            elif change == "pop":
                target.pop() if kind is list else target.popitem()
            elif kind is dict:
                target.pop("b", None)
                target[f"z{len(target)}"] = b""
            else:
                target[:] = [b"other"] * len(target)
            return money.cents

        try:
            encoded = coder.encode(target, encoders={Money: hook}, strings="str")
        except EncodeError as error:
            assert type(error) is EncodeError
        else:
            coder.decode(encoded, strings="str")

    def test_other_threads_may_change_containers(self, coder: Coder) -> None:
        shared: Any = {"list": [b"x"] * 50, "dict": {str(index): index for index in range(50)}}
        stop = threading.Event()

        def change() -> None:
            index = 0
            while not stop.is_set():
                index += 1
                shared["list"].append(b"y")
                shared["dict"][f"k{index % 100}"] = [index]
                if index % 50 == 0:
                    shared["list"].clear()
                    shared["dict"].clear()

        thread = threading.Thread(target=change)
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        thread.start()
        try:
            encoder = coder.encoder_class(Options(strings="str"))
            for _ in range(2000):
                try:
                    encoded = encoder.encode(shared)
                except EncodeError as error:
                    assert type(error) is EncodeError
                else:
                    coder.decode(encoded, strings="str")
        finally:
            sys.setswitchinterval(interval)
            stop.set()
            thread.join()

    def test_pickles_only_where_allowed(self, coder: Coder) -> None:
        import pickle

        encoded = coder.encode([1j], strings="str", allow_pickle=True)
        assert encoded == V + listing(b"h\3w\x0f$erlport.opaquew\6pythonm" + u32(len(pickle.dumps(1j, 2))) + pickle.dumps(1j, 2))
        assert coder.decode(encoded, strings="str", allow_pickle=True) == [1j]
        with raising(EncodeError, path="$[0]"):
            coder.encode([threading.Lock()], allow_pickle=True)


class TestMemory:
    def test_nothing_leaks(self, coder: Coder, strings: str) -> None:
        encoder = coder.encoder_class(Options(strings=strings, encoders={Money: lambda money: money.cents}))
        values = [row[0] for row in VALUES if not (hasattr(row[0], "__len__") and len(row[0]) > 5000)]
        token = Money(7)
        values += [[token], {"k": token}, {token: 1}]
        bad = [[1, value, 1j] for value in values] + [{"a": 1j}, {"a": 1, b"a": 1}, {1j: 1}]

        def work() -> None:
            for value in values:
                encoder.encode(value)
                encoder.encode_iovec(value)
            for value in bad:
                try:
                    encoder.encode(value)
                except EncodeError:
                    pass

        for _ in range(3):
            work()
        gc.collect()
        counts = [sys.getrefcount(value) for value in values] + [sys.getrefcount(token), sys.getrefcount(None)]
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(10):
                work()
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert grown < 150_000  # some 5000 calls; the coders' tables of atoms and keys may still fill up
        after = [sys.getrefcount(value) for value in values] + [sys.getrefcount(token), sys.getrefcount(None)]
        changed = [
            (type(value), old, new)
            for value, old, new in zip([*values, token], counts, after)
            if abs(new - old) >= (500 if value is None else 5)
        ]
        assert changed == []

    def test_keys_and_atoms_do_not_pile_up(self, coder: Coder, strings: str) -> None:
        encoder = coder.encoder_class(Options(strings=strings))
        for index in range(12_000):
            encoder.encode({f"key{index}": Atom(f"atom{index}"), f"other{index}": ByteAtom(f"byte{index}")})
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for index in range(12_000, 24_000):
                encoder.encode({f"key{index}": Atom(f"atom{index}"), index: Atom(f"{index}")})
            assert tracemalloc.get_traced_memory()[0] - before < 2_500_000
        finally:
            tracemalloc.stop()


class TestManyPieces:
    """More than the pure coder keeps before it joins them."""

    MANY = 20_000

    def test_all_are_written(self, coder: Coder) -> None:
        term = [(Atom("ok"), f"v{index}", {"n": index, "x": [None, "y"]}) for index in range(self.MANY)]
        encoded = coder.encode(term, strings="str")
        assert b"".join(coder.encode_iovec(term, strings="str")) == encoded
        assert coder.decode(encoded, strings="str") == term

    def test_large_binaries_among_them(self, coder: Coder) -> None:
        term = [(index, b"z" * 300_000 if index % 5000 == 0 else b"s", [b"t"]) for index in range(self.MANY)]
        encoded = coder.encode(term)
        pieces = coder.encode_iovec(term)
        assert b"".join(pieces) == encoded
        assert sum(len(piece) == 300_000 for piece in pieces) == 4
        assert coder.decode(encoded) == term

    def test_keys_are_compared_all_the_same(self, coder: Coder) -> None:
        key = tuple((index, "x") for index in range(self.MANY))
        with raising(EncodeError, path="$[a ExactKey key]", got="two that are the same term"):
            coder.encode({key: 1, ExactKey(key): 2})
        assert coder.decode(coder.encode({1: (), key: 2, "s": 3}, strings="str"), strings="str") == {1: (), key: 2, "s": 3}

    def test_errors_have_their_place(self, coder: Coder) -> None:
        with raising(EncodeError, path=f"$[{self.MANY}]['k']"):
            coder.encode([*((1,) for _ in range(self.MANY)), {"k": "\ud800"}], strings="str")

    def test_the_limit_counts_them(self, coder: Coder) -> None:
        term = [(1,)] * self.MANY
        size = len(coder.encode(term))
        assert len(coder.encode(term, max_bytes=size)) == size
        with raising(EncodeLimitError, limit="max_bytes", maximum=size - 1):
            coder.encode(term, max_bytes=size - 1)
