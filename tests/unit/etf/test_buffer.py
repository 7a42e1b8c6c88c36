"""Buffers of all sorts, made readable."""

from __future__ import annotations

from typing import Any

import pytest

from dspex_erl.etf._buffer import cut, readable
from dspex_erl.etf._options import LARGE_BINARY

LARGE = b"x" * LARGE_BINARY


@pytest.mark.parametrize("data", [b"", b"abc", LARGE])
@pytest.mark.parametrize("uncopied", [False, True])
def test_bytes_stay_themselves(data: bytes, uncopied: bool) -> None:
    assert readable(data, uncopied) is data
    assert readable(memoryview(data), uncopied) is data


@pytest.mark.parametrize("data", [bytearray(b"abc"), memoryview(b"#abc")[1:], memoryview(bytearray(b"abc"))])
def test_small_buffers_are_copied_unless_they_must_not_be(data: Any) -> None:
    copied = readable(data, False)
    assert (type(copied), copied) == (bytes, b"abc")
    view = readable(data, True)
    assert (type(view), view.readonly, view) == (memoryview, True, b"abc")


def test_large_buffers_are_not_copied() -> None:
    data = bytearray(LARGE)
    view = readable(data, False)
    assert (type(view), view.readonly, view.obj) == (memoryview, True, data)
    assert readable(memoryview(b"#" + LARGE)[1:], False) == LARGE


def test_buffers_of_other_shapes_are_copied() -> None:
    words = memoryview(bytearray(LARGE)).cast("I")
    table = memoryview(bytearray(LARGE)).cast("B", (256, LARGE_BINARY // 256))
    for data in (words, table):
        for uncopied in (False, True):
            assert (type(readable(data, uncopied)), readable(data, uncopied)) == (bytes, LARGE)


@pytest.mark.parametrize("data", [None, "abc", 5, [1, 2], memoryview(b"abcd")[::2]])
def test_no_buffer(data: Any) -> None:
    with pytest.raises(TypeError, match="buffer"):
        readable(data, False)


@pytest.mark.parametrize("source", [b"#" + LARGE + b"#", memoryview(b"#" + LARGE + b"#")])
def test_cut(source: Any) -> None:
    end = 1 + len(LARGE)
    assert cut(source, 1, end, False, 0) == LARGE
    assert cut(source, 1, end, True, 0) == LARGE.decode()
    assert cut(source, 1, end, True, len(LARGE) + 1) == LARGE.decode()
    view = cut(source, 1, end, True, len(LARGE))
    assert (type(view), view) == (memoryview, LARGE)


def test_cut_bytes_that_are_no_text() -> None:
    assert cut(b"\xff" + LARGE, 0, 10, True, 0) == b"\xff" + b"x" * 9
