"""What an error from Erlang says."""

from typing import Any

import pytest

from dspex_erl.runtime.erlang import CallError
from dspex_erl.terms import Atom, ByteAtom, List, Map


def charlist(text: str) -> List:
    return List(map(ord, text))


@pytest.mark.parametrize("atom", [Atom, ByteAtom])
@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        (b"binary", '"binary"'),
        ("text", '"text"'),
        (charlist("char \u2603 list\n"), '"char \u2603 list\n"'),
        (b"\xff", r"b'\xff'"),
        (5, "5"),
        ([], "[]"),
        (List([]), "List([])"),
        ([1, 2], "[1, 2]"),
        ([-1], "[-1]"),
        ([2**40], f"[{2**40}]"),
        ((b"a", [charlist("b"), 1.5], {}), '("a", ["b", 1.5], {})'),
        (Map({b"k": (1, 2)}), 'Map({"k": (1, 2)})'),
        (list(range(60)), f"[{', '.join(map(str, range(50)))}, …]"),
        ({n: n for n in range(60)}, f"{{{', '.join(f'{n}: {n}' for n in range(50))}, …}}"),
    ],
)
def test_an_error_says_what_kind_it_is_and_why(atom: Any, reason: Any, shown: str) -> None:
    error = CallError((atom("erlang"), atom("throw"), reason, []))
    assert str(error) == f"({atom('erlang')!r}, {atom('throw')!r}, {shown}, [])"
    assert (error.language, error.type, error.value, error.stacktrace) == (
        "erlang" if atom is Atom else b"erlang",
        error.type,
        reason,
        [],
    )


def test_what_erlports_users_match_on() -> None:
    trace = List([(ByteAtom("unknown"), ByteAtom("unknown"), List([]), List([]))])
    error = CallError((ByteAtom("erlang"), ByteAtom("error"), ByteAtom("undef"), trace))
    assert str(error).startswith(
        "(Atom(b'erlang'), Atom(b'error'), Atom(b'undef'), List([(Atom(b'unknown'), Atom(b'unknown'), List([])"
    )


@pytest.mark.parametrize("value", [Atom("timeout"), b"timeout"])
def test_an_error_of_another_shape_is_shown_as_it_is(value: Any) -> None:
    error = CallError(value)
    assert "timeout" in str(error)
    assert (error.language, error.type, error.value, error.stacktrace) == (None, None, value, [])


def test_a_reason_may_nest_as_deep_as_it_likes() -> None:
    reason: Any = []
    for _ in range(100_000):
        reason = (reason,)
    assert len(str(CallError((Atom("erlang"), Atom("error"), reason, [])))) < 100


@pytest.mark.parametrize(
    "make", [charlist, str.encode, lambda text: (Atom("error"), text.encode())], ids=["charlist", "binary", "tuple"]
)
def test_an_error_in_an_error_adds_to_its_text_and_does_not_multiply_it(make: Any) -> None:
    message, lengths = '"quoted" \\ text', []
    for _ in range(10):
        message = str(CallError((Atom("python"), Atom("builtins.ValueError"), make(message), [])))
        lengths.append(len(message))
    assert len({after - before for before, after in zip(lengths, lengths[1:])}) == 1
