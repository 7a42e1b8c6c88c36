"""Short containers, read by recursion: the same terms and the same errors as from the decoder's loop, or nothing."""

from __future__ import annotations

from typing import Any

import pytest

from dspex_erl.errors import CodecError
from dspex_erl.etf import _pure_encoder
from dspex_erl.etf._atoms import Atoms
from dspex_erl.etf._options import LARGE_BINARY, Options
from dspex_erl.etf._pure_decoder import Decoder
from dspex_erl.etf._short import LEVELS, ShortReader
from dspex_erl.terms import Atom, ImproperList, Pid

STRINGS = ["bytes", "str"]


def encoded(term: Any) -> bytes:
    return _pure_encoder.Encoder(Options(strings="str")).encode(term)[1:]


def read(data: bytes, levels: int = LEVELS, shapes: dict[int, Any] | None = None, **options: Any) -> tuple[Any, int, int]:
    settings = Options(**options)
    return ShortReader(settings).read(data, 0, 0, levels, {} if shapes is None else shapes, Atoms(settings))


def outcome(decoder: Decoder, data: bytes, by_the_loop: bool) -> Any:
    try:
        if by_the_loop:
            term, _ = decoder._run(data, 1, decoder._atoms, {}, len(data) + 1)
        else:
            term, _ = decoder.decode_from(data)
        return repr(term)
    except CodecError as error:
        return type(error), str(error)


ROW = {Atom("id"): 7, Atom("name"): "naïve", Atom("score"): -0.5, Atom("tags"): [Atom("a"), "b", []], Atom("big"): -(2**70)}
SAMPLES: list[Any] = [
    [ROW] * 5,
    [(Atom("ok"), {"a": [1, 2, 3], "b": {}, "c": {"d": None, "e": True}})] * 4,
    {"rows": [ROW, ROW, ROW, {**ROW, Atom("id"): 2**40}], (1, 2): [0.5] * 9, Atom("x"): "", 5: (), "y": [70000] * 40},
    [(index, Atom("name")) for index in range(40)],
    ((((((((((1,), 2), 3), 4), 5), 6), 7), 8), 9), 10),
    [[ImproperList([1], 2), 3], [Pid(Atom("n@h"), 1, 2, 3), {"a": 1}], [4]],
]


@pytest.mark.parametrize("strings", STRINGS)
@pytest.mark.parametrize("sample", SAMPLES)
def test_as_the_loop_does(sample: Any, strings: Any) -> None:
    data = b"\x83" + encoded(sample)
    decoder = Decoder(Options(strings=strings))
    assert outcome(decoder, data, False) == outcome(decoder, data, True)
    for end in range(2, len(data)):
        assert outcome(decoder, data[:end], False) == outcome(decoder, data[:end], True)


@pytest.mark.parametrize("strings", STRINGS)
@pytest.mark.parametrize("byte", [0, 1, 2, 99, 104, 105, 106, 107, 108, 116, 255])
@pytest.mark.parametrize("sample", SAMPLES)
def test_as_the_loop_does_with_wrong_bytes(sample: Any, byte: int, strings: Any) -> None:
    data = b"\x83" + encoded(sample)
    decoder = Decoder(Options(strings=strings, max_elements=300, max_digits=8, max_atoms=60, max_depth=9))
    for place in range(1, len(data)):
        wrong = data[:place] + bytes((byte,)) + data[place + 1 :]
        assert outcome(decoder, wrong, False) == outcome(decoder, wrong, True)


@pytest.mark.parametrize("limit", ["max_elements", "max_depth", "max_digits"])
@pytest.mark.parametrize("sample", SAMPLES)
def test_limits_as_in_the_loop(sample: Any, limit: str) -> None:
    data = b"\x83" + encoded(sample)
    for maximum in range(60):
        decoder = Decoder(Options(strings="str", **{limit: maximum}))
        assert outcome(decoder, data, False) == outcome(decoder, data, True)


def test_counts_elements() -> None:
    data = encoded((1, [2, "three"], {"four": [5, 6]}))
    assert read(data, strings="str") == ((1, [2, "three"], {"four": [5, 6]}), len(data), 3 + 2 + 2 + 2)


def test_says_where_the_trouble_is() -> None:
    assert read(b"h\2a\1g") == (None, 4, -1)
    assert read(b"h\2a\1h\1c") == (None, 6, -1)
    assert read(b"l\0\0\0\1a\1a\2") == (None, 7, -1)
    assert read(b"l\0\0\0\0j") == (None, 5, -1)


def test_gives_up_beyond_its_levels() -> None:
    data = encoded(((1,), 2))
    assert read(data, levels=2) == (((1,), 2), len(data), 3)
    assert read(data, levels=1) == (None, 2, -1)
    assert read(data, levels=0) == (None, 0, -1)


def test_gives_up_at_long_containers_but_not_at_long_runs_of_numbers() -> None:
    assert read(encoded([Atom("a")] * 32))[1] > 0
    assert read(encoded([Atom("a")] * 33)) == (None, 0, -1)
    assert read(encoded([0.5] * 5000))[0] == [0.5] * 5000
    assert read(encoded([0.5] * 5000 + [Atom("a")] * 33)) == (None, 0, -1)


def test_gives_up_where_a_map_is_to_be_learnt() -> None:
    shapes: dict[int, Any] = {}
    data = encoded({"a": 1, "b": 2})
    assert read(data, shapes=shapes)[0] == {b"a": 1, b"b": 2}
    assert shapes == {4: 0}
    assert read(data, shapes=shapes) == (None, 0, -1)
    for wrong in (1, 2, 3):
        assert read(data, shapes={4: wrong}) == (None, 0, -1)
    assert read(data, shapes={4: 4})[0] == {b"a": 1, b"b": 2}


def test_a_guess_is_right_or_given_up() -> None:
    keys = [b"m\0\0\0\1a", b"m\0\0\0\1b"]
    shapes = {4: ((b"a", b"b"), 0, [(key, 6) for key in keys])}
    assert read(encoded({"a": 1, "b": 2}), shapes=shapes)[0] == {b"a": 1, b"b": 2}
    assert read(encoded({"a": 1, "c": 2}), shapes=shapes) == (None, 13, -1)


@pytest.mark.parametrize("key", [(1,), [], [1, 2], [Atom("a")], {"b": 1}])
def test_keys_that_are_containers_are_left_to_the_loop(key: Any) -> None:
    assert read(b"t\0\0\0\1" + encoded(key) + b"a\1") == (None, 5, -1)


def test_equal_keys_are_left_to_the_loop() -> None:
    assert read(b"t\0\0\0\2a\1a\2F?\xf0\0\0\0\0\0\0a\3") == (None, 0, -1)


def test_opaque_terms_are_left_to_the_loop() -> None:
    assert read(encoded((Atom("$erlport.opaque"), Atom("python"), b"x"))) == (None, 0, -1)
    assert read(encoded((Atom("$erlport.opaque"), 1)))[0] == (b"$erlport.opaque", 1)


@pytest.mark.parametrize("strings", STRINGS)
def test_structs_are_left_to_the_loop_if_there_are_hooks(strings: Any) -> None:
    data = encoded({Atom("__struct__"): Atom("Elixir.Date"), "a": 1})
    assert read(data, strings=strings)[1] == len(data)
    assert read(data, strings=strings, structs={"Elixir.Date": dict}) == (None, 0, -1)
    assert read(encoded({"a": 1}), strings=strings, structs={"Elixir.Date": dict})[2] == 2


def test_large_binaries() -> None:
    large = "x" * LARGE_BINARY
    assert read(encoded([large]), strings="str")[0] == [large]
    ((view,), _, _) = read(encoded((large,)), strings="str", view_threshold=10)
    assert (type(view), view) == (memoryview, large.encode())
    ((value,), _, _) = read(encoded(({large: large},)), strings="str", view_threshold=10)
    assert [(type(key), type(item)) for key, item in value.items()] == [(str, memoryview)]


def test_a_run_stops_where_a_byte_would_lack() -> None:
    settings = Options()
    atoms = Atoms(settings)
    data = encoded((1,)) * 4

    def run(count: int, last: int) -> tuple[int, int, list[Any]]:
        fields: list[Any] = []
        pos, elements = ShortReader(settings).read_run(data, 0, 10, LEVELS, {}, atoms, fields, count, last)
        return pos, elements, fields

    assert run(3, 100) == (12, 13, [(1,)] * 3)
    assert run(9, 100) == (16, 14, [(1,)] * 4)
    assert run(4, 6) == (8, 12, [(1,)] * 2)
    assert run(4, 2) == (0, 10, [])
