"""Ids of sessions and programs."""

import pytest

from dspex_erl.errors import BadRequest
from dspex_erl.sessions import check_id


@pytest.mark.parametrize("value", ["a", "qa bot", "ünïcode", "日本", "x" * 255, "a/b:c", "\u00a0"])
def test_good(value: str) -> None:
    assert check_id(value, "session") == value


@pytest.mark.parametrize(
    ("value", "got"),
    [
        ("", "0"),
        ("x" * 256, "256"),
        ("日" * 86, "258"),
        ("a\nb", "with them"),
        ("\x7f", "with them"),
        ("\x85", "with them"),
        ("\ud800", "surrogate"),
        (None, "nil"),
        (b"\xff", "bytes that are not UTF-8"),
        (7, "int"),
        ([97], "list"),
    ],
)
def test_bad(value: object, got: str) -> None:
    with pytest.raises(BadRequest, match=got) as caught:
        check_id(value, "program")
    assert "id of a program" in str(caught.value)
