"""The makers of errors, and how an error gets its place."""

from typing import Any

import pytest

from dspex_erl.errors import DecodeError, DecodeLimitError, EncodeError, EncodeLimitError, TruncatedError
from dspex_erl.etf import _faults as faults


def test_decode_errors_have_all_their_texts() -> None:
    for what in faults.DECODE_FAULTS:
        error = faults.decode_error(what, 7, 3)
        assert (type(error), error.offset, error.path) == (DecodeError, 3, "$")
        assert "{" not in str(error)


def test_encode_errors_tell_the_type_alone() -> None:
    for what in faults.ENCODE_FAULTS:
        error = faults.encode_error(what, "secret")
        assert (type(error), error.path) == (EncodeError, "$")
        assert "{" not in str(error)
        assert "secret" not in str(error)


def test_limits_have_all_their_texts() -> None:
    for limit in faults.LIMIT_PHRASES:
        error = faults.decode_limit(limit, 5, 6, 3)
        assert (error.limit, error.maximum, error.offset) == (limit, 5, 3)
        assert str(error).startswith(f"expected at most 5 ({limit}), got ")
        assert "6" in error.got
        other = faults.encode_limit(limit, 5, 6)
        assert (other.limit, other.maximum, other.got) == (limit, 5, error.got)


@pytest.mark.parametrize(
    ("error", "args"),
    [
        (faults.decode_error("tag", 1, 3), ("a term", "tag 1", 3)),
        (faults.truncated(3), ("a whole term", "the end of the bytes", 3)),
        (faults.decode_limit("max_depth", 5, 6, 3), ("max_depth", 5, "containers 6 deep", 3)),
        (faults.encode_error("surrogate", ""), ("text that UTF-8 can write", "a surrogate")),
        (faults.encode_limit("max_depth", 5, 6), ("max_depth", 5, "containers 6 deep")),
    ],
)
def test_at_puts_a_path_before_the_one_there_is(error: Any, args: tuple[object, ...]) -> None:
    error.path = "$[1]"
    moved = faults.at(error, "$['a']")
    assert moved is error
    assert moved.path == "$['a'][1]"
    assert moved.args == (*args, "$['a'][1]")
    # An error is rebuilt from its arguments when it is copied or pickled.
    assert str(type(moved)(*moved.args)) == str(moved)


def test_at_moves_an_error_out_of_compressed_bytes() -> None:
    moved = faults.at(faults.decode_limit("max_depth", 5, 6, 300), "$", 7)
    assert isinstance(moved, DecodeLimitError)
    assert (moved.offset, moved.args[-2:], moved.limit) == (7, (7, "$"), "max_depth")
    whole = faults.at(faults.decode_error("tag", 1, 300), "$", 7)
    assert isinstance(whole, DecodeError)
    assert (whole.offset, whole.args[-2:]) == (7, (7, "$"))


def test_what_is_truncated_in_compressed_bytes_is_wrong() -> None:
    moved = faults.at(faults.truncated(300), "$", 7)
    assert type(moved) is DecodeError
    assert not isinstance(moved, TruncatedError)
    assert moved.offset == 7


def test_type_name() -> None:
    class Hiding(type):
        @property
        def __module__(cls) -> str:  # type: ignore[override]
            raise RuntimeError

    class Long:
        pass

    Long.__qualname__ = "x" * 500
    assert faults.type_name(b"") == "builtins.bytes"
    assert len(faults.type_name(Long())) == faults.TYPE_NAME_LENGTH
    assert faults.type_name(Hiding("Any", (), {})()) == "a type that hides its name"


def test_refusals_say_what_was_expected() -> None:
    refusal = faults.Refusal("this", "that")
    assert (refusal.expected, refusal.got) == ("this", "that")
    assert isinstance(faults.encode_limit("max_depth", 1, 2), EncodeLimitError)
