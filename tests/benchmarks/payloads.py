"""What is encoded and decoded: terms made by Erlang, and the same data in types that other formats can hold.

The terms lie beside the repository, in ``../shared/vectors/payloads``. Where that is missing, stand-ins of the same shapes and
sizes are made (:mod:`stand_ins`), and the report says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from dspex_erl.etf import Codec
from dspex_erl.terms import Atom, ByteAtom
from tests.benchmarks import stand_ins
from tests.benchmarks.machine import ROOT

Strings = Literal["bytes", "str"]

MAPPINGS: tuple[Strings, ...] = ("bytes", "str")

NAMES = (
    "call",
    "dspy_examples",
    "nested_map",
    "proplist",
    "ints_100k",
    "smallints_100k",
    "floats_130x768",
    "bigints",
)
"""In the order of the table."""

LIMITS: dict[str, Any] = {"max_bytes": 2**40, "max_elements": 2**40}
"""Grown payloads have more elements than the default allows."""

_FOLDER = ROOT.parent / "shared" / "vectors" / "payloads"


@dataclass(frozen=True)
class Payload:
    """One payload in one mapping: ``data`` is the term in Erlang's format, ``term`` what our decoder makes of it."""

    name: str
    strings: Strings
    data: bytes

    @cached_property
    def codec(self) -> Codec:
        return Codec(strings=self.strings, **LIMITS)

    @property
    def term(self) -> Any:
        """A new one each time."""
        return self.codec.decode(self.data)

    def plain(self, *, tuples: bool = True) -> Any:
        """The term in builtin types: atoms as ``str``, and tuples as lists if ``tuples`` are not to be had."""
        return _plain(self.term, tuple if tuples else list)

    def part(self) -> Payload:
        """One with about a tenth of the elements, where there are as many."""
        return Payload(self.name, self.strings, self.codec.encode(_tenth(self.term)))

    def grown(self, factor: int) -> Payload:
        """One with ``factor`` times the elements, within one list or map."""
        # Decoded again whenever it is used, so that no two elements are the same objects.
        return Payload(self.name, self.strings, self.codec.encode(_repeated(self.term, factor)))


def load() -> tuple[dict[str, bytes], str]:
    """All payloads by name, and where they come from."""
    if _FOLDER.is_dir():
        return {name: (_FOLDER / f"{name}.etf").read_bytes() for name in NAMES}, str(_FOLDER)
    encode = Codec(strings="str").encode
    return {name: encode(make()) for name, make in stand_ins.MAKERS.items()}, "stand-ins"


def _plain(term: Any, sequence: Callable[[Any], Any]) -> Any:
    if isinstance(term, (Atom, ByteAtom)):
        return str(term) if isinstance(term, Atom) else term.decode("latin-1")
    if isinstance(term, list):
        return [_plain(item, sequence) for item in term]
    if isinstance(term, tuple):
        return sequence(_plain(item, sequence) for item in term)
    if isinstance(term, dict):
        return {_plain(key, tuple): _plain(value, sequence) for key, value in term.items()}
    return term


def _tenth(term: Any) -> Any:
    if isinstance(term, list):
        return list(term)[: -(-len(term) // 10)]
    if isinstance(term, dict):
        return dict(list(term.items())[:1])
    return term


def _repeated(term: Any, factor: int) -> Any:
    if isinstance(term, list):
        return list(term) * factor
    if isinstance(term, dict):
        return {_numbered(key, turn): value for turn in range(factor) for key, value in term.items()}
    return [term] * factor


def _numbered(key: Any, turn: int) -> Any:
    if isinstance(key, ByteAtom):
        return ByteAtom(b"%b_%d" % (key, turn))
    if isinstance(key, Atom):
        return Atom(f"{key}_{turn}")
    raise TypeError(f"expected a map with atoms for keys, got a {type(key).__name__}")
