"""``erlport.erlterms``: the codec's functions, and what ErlPort's ``OpaqueObject`` can do."""

from __future__ import annotations

import pickle
import zlib

import pytest

from dspex_erl import compat
from dspex_erl.compat._codec import OpaqueObject, decode, encode, encode_term
from dspex_erl.errors import DecodeError, EncodeError, TruncatedError
from dspex_erl.terms import ByteAtom, ImproperList
from dspex_erl.terms import OpaqueObject as Decoded

ERLANG = ByteAtom(b"erlang")
PYTHON = ByteAtom(b"python")
OTHER = ByteAtom(b"ruby")
OPAQUE = ByteAtom(b"$erlport.opaque")
NIL = b"j"


loaded: list[str] = []


def note() -> None:
    loaded.append("loaded")


class Tripwire:
    """Notes when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return note, ()


@pytest.fixture
def pickles_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "pickle_allowed", True)


def test_decode_gives_the_rest_back() -> None:
    assert decode(b"\x83a\x07rest") == (7, b"rest")
    with pytest.raises(TruncatedError):
        decode(b"\x83m\0\0\0\4dat")


@pytest.mark.parametrize(("compressed", "level"), [(True, 6), (1, 1), (9, 9)])
def test_levels_of_compression(compressed: bool | int, level: int) -> None:
    plain = encode([[]] * 100)
    packed = encode([[]] * 100, compressed)
    assert packed == b"\x83P" + (len(plain) - 1).to_bytes(4, "big") + zlib.compress(plain[1:], level)


@pytest.mark.parametrize("compressed", [False, 0])
def test_no_compression(compressed: bool | int) -> None:
    assert encode([[]] * 100, compressed) == encode([[]] * 100)
    assert encode([[]] * 100)[1:2] == b"l"


def test_a_term_without_the_version_byte() -> None:
    assert encode_term((1, b"x")) == encode((1, b"x"))[1:] == b"h\x02a\x01m\0\0\0\x01x"


def test_the_class_is_the_one_that_the_decoder_makes() -> None:
    term, _ = decode(encode(OpaqueObject(b"data", OTHER)))
    assert type(term) is OpaqueObject is Decoded


@pytest.mark.parametrize("compressed", [False, True])
def test_erlangs_data_is_spliced_as_it_is(compressed: bool) -> None:
    opaque = OpaqueObject(b"no term" * 50, ERLANG)
    assert encode(opaque, compressed) == b"\x83" + opaque.data
    assert opaque.encode() == opaque.data


@pytest.mark.parametrize(
    "around", [lambda term: [term], lambda term: (1, term), lambda term: {b"k": term}, lambda term: ImproperList([1], term)]
)
def test_inside_another_term_it_must_be_a_term(around) -> None:
    assert NIL in encode(around(OpaqueObject(NIL, ERLANG)))
    with pytest.raises(EncodeError):
        encode(around(OpaqueObject(b"no term", ERLANG)))


def test_other_languages_are_wrapped() -> None:
    opaque = OpaqueObject(b"data", OTHER)
    assert opaque.encode() == encode_term((OPAQUE, OTHER, b"data"))
    assert encode(opaque) == encode((OPAQUE, OTHER, b"data"))


@pytest.mark.parametrize("language", [ERLANG, OTHER])
def test_decoding_the_data_of_other_languages(language: ByteAtom) -> None:
    assert OpaqueObject.decode(b"data", language) == OpaqueObject(b"data", language)


def test_a_pickle_is_not_loaded() -> None:
    pickled = pickle.dumps(Tripwire())
    loaded.clear()
    with pytest.raises(DecodeError, match="allow_pickle"):
        OpaqueObject.decode(pickled, PYTHON)
    with pytest.raises(DecodeError, match="allow_pickle"):
        decode(encode((OPAQUE, PYTHON, pickled)))
    with pytest.raises(EncodeError):
        encode(Tripwire())
    assert loaded == []


@pytest.mark.usefixtures("pickles_allowed")
def test_a_pickle_is_loaded_where_that_is_allowed() -> None:
    loaded.clear()
    OpaqueObject.decode(pickle.dumps(Tripwire()), PYTHON)
    assert loaded == ["loaded"]
    assert OpaqueObject.decode(pickle.dumps({1, 2}), PYTHON) == {1, 2}
    assert decode(encode(complex(1, 2))) == (1 + 2j, b"")


@pytest.mark.usefixtures("pickles_allowed")
def test_a_broken_pickle_is_a_decode_error() -> None:
    with pytest.raises(DecodeError):
        OpaqueObject.decode(b"no pickle", PYTHON)


@pytest.mark.parametrize(("data", "language"), [("text", OTHER), (b"data", b"python"), (b"data", "python"), ([1], PYTHON)])
@pytest.mark.usefixtures("pickles_allowed")
def test_arguments_of_other_types(data: object, language: object) -> None:
    with pytest.raises(TypeError):
        OpaqueObject.decode(data, language)
