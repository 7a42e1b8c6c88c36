"""What holds for every term: round trips, one behaviour of both coders, and no bytes lost at any cut."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspex_erl.errors import DecodeError, EncodeError, TruncatedError
from dspex_erl.terms._containers import identity
from tests.coders import NAMES, Coder
from tests.coders import coder as coder_named
from tests.property.etf.strategies import byte_terms, damaged, option_sets, terms

pytestmark = pytest.mark.parametrize("name", NAMES)

# Examples cost what the machine costs; a deadline would only measure its load.
relaxed = settings(deadline=None, max_examples=120)


def exactly(left: Any, right: Any) -> bool:
    """The same for Erlang, and of the same types for Python."""
    return identity(left) == identity(right) and shape(left) == shape(right)


def shape(term: Any) -> Any:
    if isinstance(term, (list, tuple)):
        return type(term), [shape(item) for item in term], shape(getattr(term, "tail", None))
    if isinstance(term, dict):
        return type(term), sorted((repr(identity(key)), shape(key), shape(value)) for key, value in term.items()).__repr__()
    return type(term)


class TestRoundTrip:
    @relaxed
    @given(term=byte_terms)
    def test_erlports_mapping(self, name: str, term: Any) -> None:
        coder = coder_named(name)
        assert exactly(coder.decode(coder.encode(term)), term)

    @relaxed
    @given(term=terms)
    def test_our_mapping(self, name: str, term: Any) -> None:
        coder = coder_named(name)
        again = coder.decode(coder.encode(term, strings="str"), strings="str")
        assert identity(again) == identity(term)

    @relaxed
    @given(term=byte_terms, mutable=st.booleans())
    def test_what_is_decoded_is_encoded_alike(self, name: str, term: Any, mutable: bool) -> None:
        coder = coder_named(name)
        encoded = coder.encode(term)
        given_bytes = bytearray(encoded) if mutable else memoryview(encoded)
        assert coder.encode(coder.decode(given_bytes)) == encoded
        assert b"".join(coder.encode_iovec(coder.decode(encoded, view_threshold=1))) == encoded


class TestStream:
    @relaxed
    @given(parts=st.lists(byte_terms, min_size=1, max_size=4), more=st.binary(max_size=5))
    def test_one_term_after_the_other(self, name: str, parts: list[Any], more: bytes) -> None:
        coder = coder_named(name)
        data = b"".join(map(coder.encode, parts)) + more
        offset = 0
        for part in parts:
            term, offset = coder.decode_from(data, offset)
            assert exactly(term, part)
        assert data[offset:] == more

    @relaxed
    @given(term=byte_terms, where=st.floats(0, 1, exclude_max=True))
    def test_a_part_of_a_term_is_truncated(self, name: str, term: Any, where: float) -> None:
        coder = coder_named(name)
        data = coder.encode(term)
        size = int(where * len(data))
        with pytest.raises(TruncatedError) as caught:
            coder.decode_from(data[:size])
        assert caught.value.offset == size


def outcome(call: Any, *args: Any, **options: Any) -> Any:
    try:
        result = call(*args, **options)
    except (DecodeError, EncodeError) as error:
        return (
            type(error),
            getattr(error, "offset", None),
            error.path,
            getattr(error, "limit", None),
            getattr(error, "maximum", None),
        )
    return result


def comparable(result: Any) -> Any:
    return (identity(result), shape(result)) if not isinstance(result, (bytes, memoryview)) else (type(result), bytes(result))


def views_as_bytes(term: Any) -> Any:
    if type(term) is memoryview:
        return "view", bytes(term)
    if isinstance(term, (list, tuple)):
        return type(term).__name__, tuple(map(views_as_bytes, term)), views_as_bytes(getattr(term, "tail", None))
    if isinstance(term, dict):
        return type(term).__name__, tuple((identity(key), type(key), views_as_bytes(value)) for key, value in term.items())
    return type(term), identity(term)


class TestOneBehaviour:
    """Each coder against the pure one: trivial for that itself, which keeps the test honest where there is no C coder."""

    @relaxed
    @given(data=damaged(), options=option_sets)
    def test_decoding(self, name: str, data: bytes, options: dict[str, Any]) -> None:
        tested, pure = coder_named(name), coder_named("pure")
        first = outcome(tested.decode, data, **options)
        assert views_as_bytes(first) == views_as_bytes(outcome(pure.decode, data, **options))
        assert views_as_bytes(outcome(tested.decode, bytearray(data), **options)) == views_as_bytes(first)

    @relaxed
    @given(term=st.one_of(byte_terms, terms), options=option_sets, bad=st.booleans())
    def test_encoding(self, name: str, term: Any, options: dict[str, Any], bad: bool) -> None:
        tested, pure = coder_named(name), coder_named("pure")
        value = [term, 1j, term] if bad else term
        assert outcome(tested.encode, value, **options) == outcome(pure.encode, value, **options)


def test_a_coder_is_what_it_says(name: str) -> None:
    coder: Coder = coder_named(name)
    assert coder.decoder_class.__module__.endswith("_speedups" if name == "c" else "_pure_decoder")
