"""Runs of numbers, read and written at once."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest

from dspex_erl.errors import EncodeLimitError
from dspex_erl.etf import _numbers as numbers
from dspex_erl.terms import List
from tests.coders import raising


def single(number: Any) -> bytes:
    if type(number) is float:
        return b"F" + struct.pack(">d", number)
    return bytes((97, number)) if 0 <= number < 256 else b"b" + struct.pack(">i", number)


def listing(items: list[Any]) -> bytes:
    return b"l" + len(items).to_bytes(4, "big") + b"".join(map(single, items)) + b"j"


class TestRead:
    @pytest.mark.parametrize("number", [7, 0, 255, -1, 2**31 - 1, 0.5, -0.0, 1.7e308])
    @pytest.mark.parametrize("count", [1, 2, 511, 512, 513, 1500])
    def test_runs(self, number: Any, count: int) -> None:
        items: list[Any] = List()
        data = b"##" + single(number) * count + b"j"
        assert numbers.read_numbers(data, 2, count, items) == len(data) - 1
        assert items == [number] * count
        assert numbers.read_numbers(memoryview(data), 2, count, items := []) == len(data) - 1
        assert len(items) == count

    def test_stops_at_the_count(self) -> None:
        items: list[Any] = []
        assert numbers.read_numbers(single(7) * 100, 0, 60, items) == 120
        assert len(items) == 60

    @pytest.mark.parametrize("other", [b"j", b"n\0\0", b"", b"b\0\0", b"F\0"])
    def test_stops_at_anything_else(self, other: bytes) -> None:
        for before in ([300] * 70, [7] * 20, [0.5] * 9, [7, 300, 0.5] * 2):
            items: list[Any] = []
            raw = b"".join(map(single, before))
            assert numbers.read_numbers(raw + other, 0, 1000, items) == len(raw)
            assert items == before

    @pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("before", [0, 1, 600])
    def test_stops_at_a_float_that_is_not_finite(self, odd: float, before: int) -> None:
        items: list[Any] = List([0])
        data = single(0.5) * before + single(odd) + single(0.5) * 20
        assert numbers.read_numbers(data, 0, 1000, items) == 9 * before
        assert items == [0] + [0.5] * before

    def test_gives_up_on_short_runs(self) -> None:
        items: list[Any] = []
        mixed = [1, 300] * 200
        data = b"".join(map(single, mixed))
        end = numbers.read_numbers(data, 0, len(mixed), items)
        assert 0 < len(items) < len(mixed)
        assert items == mixed[: len(items)]
        assert data[:end] == b"".join(map(single, items))


class TestIntegers:
    @pytest.mark.parametrize(
        "items",
        [
            [300] * 8,
            [300] * 3000,
            [-(2**31), 2**31 - 1] * 9,
            [300] * 2000 + [0, 255] + [256, -1] * 20,
            [5] + [300] * 40 + [6],
            [300, 5] * 40,
            [0x62000000] + [300] * 60 + [0x00620000, 0x00006200, 0],
            [0x00000062, 0x62000000, 5] + [300] * 60,
            [7] * 65536,
        ],
    )
    def test_lists(self, items: list[int]) -> None:
        assert numbers.pack_integers(items) == listing(items)

    def test_strings(self) -> None:
        assert numbers.pack_integers([1, 2, 255]) == b"k\0\3\1\2\xff"
        assert numbers.pack_integers([7] * 65535) == b"k\xff\xff" + b"\7" * 65535

    @pytest.mark.parametrize(
        "items", [[300] * 7, [2**31] * 9, [300] * 9 + [-(2**31) - 1], [True], [300] * 9 + [True], [1, 2.0], [300] * 9 + [None]]
    )
    def test_none(self, items: list[Any]) -> None:
        assert numbers.pack_integers(items) is None


class TestFloats:
    @pytest.mark.parametrize(
        "items", [[0.5], [0.5] * 2000, [-0.0, 5e-324, 1.7976931348623157e308], [1.7e308] * 20, [-1e308, 2.0**1009]]
    )
    def test_lists(self, items: list[float]) -> None:
        assert numbers.pack_floats(items) == listing(items)

    @pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, 1, True, None])
    def test_none(self, odd: Any) -> None:
        assert numbers.pack_floats([0.5] * 20 + [odd]) is None


def test_big() -> None:
    assert numbers.pack_big(2**31, 4) == b"n\4\0\0\0\0\x80"
    assert numbers.pack_big(-(2**2040), 256) == b"o\0\0\1\0\1" + bytes(255) + b"\1"
    with raising(EncodeLimitError, limit="max_digits", maximum=3, path="$"):
        numbers.pack_big(2**31, 3)


@pytest.mark.parametrize("text", ["é", "a" * 65536, "日é\ud800"])
def test_charlist(text: str) -> None:
    points = list(map(ord, text))
    assert numbers.pack_charlist(text) == (numbers.pack_integers(points) or listing(points))
    assert numbers.pack_charlist("") == b"j"
