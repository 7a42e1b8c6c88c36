"""Hypothesis strategies for terms, for bytes that nearly are terms, and for the options of a codec.

Left out on purpose, and met in the unit tests instead:

* terms deeper than a few containers: the recursion of the strategies themselves is slow;
* floats that are not finite: they are sent as atoms and so do not come back;
* in our mapping, maps with keys that only Erlang tells apart: it refuses them (:func:`distinct` filters them);
* in our mapping, ``bytes`` that are UTF-8, and improper lists with plain lists inside: both come back as other types.
"""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import strategies as st

from dspex_erl.terms import (
    Atom,
    BitString,
    ByteAtom,
    ExactKey,
    Export,
    ImproperList,
    List,
    Map,
    Pid,
    Port,
    Reference,
)

u32 = st.integers(0, 2**32 - 1)
integers = st.one_of(
    st.integers(-5, 300),
    st.integers(-(2**33), 2**33),
    st.builds(
        lambda bits, more, sign: sign * (2**bits + more),
        st.sampled_from([31, 64, 200, 2040]),
        st.integers(-2, 1),
        st.sampled_from([1, -1]),
    ),
)
floats = st.floats(allow_nan=False, allow_infinity=False)
texts = st.one_of(st.sampled_from(["", "a", "key", "__struct__", "é", "日本", "x" * 300]), st.text(max_size=12))
names = st.one_of(
    st.sampled_from(["ok", "error", "a", "nil", "undefined", "true", "é", "日", "", "$erlport.opaque"]),
    st.text(st.characters(codec="utf-8"), max_size=9),
    st.builds("😀".__mul__, st.integers(60, 255)),
)
nodes = st.sampled_from([Atom("n@h"), Atom("日@h"), Atom("other@host.example")])
identifiers = st.one_of(
    st.builds(Pid, nodes, u32, u32, u32),
    st.builds(Port, nodes, st.integers(0, 2**64 - 1), u32),
    st.builds(Reference, nodes, u32, st.lists(u32, min_size=1, max_size=5).map(tuple)),
    st.builds(Export, nodes, nodes, st.integers(0, 255)),
    st.builds(
        lambda data, bits: BitString(data[:-1] + bytes([data[-1] & (0xFF00 >> bits) & 0xFF]), bits),
        st.binary(min_size=1, max_size=4),
        st.integers(1, 7),
    ),
)


def byte_atom(name: str) -> Any:
    """What an atom of that name is in ErlPort's mapping."""
    return {"true": True, "false": False, "undefined": None}.get(name, ByteAtom(name))


def atom(name: str) -> Any:
    """What an atom of that name is in our mapping."""
    return {"true": True, "false": False, "nil": None}.get(name, Atom(name))


def not_opaque(items: list[Any]) -> tuple[Any, ...]:
    """These as a tuple, and not as the one that ErlPort gives a meaning to."""
    return tuple(items[1:] if items and items[0] in ("$erlport.opaque", b"$erlport.opaque") else items)


def no_list(tail: Any) -> Any:
    return tuple(tail) if isinstance(tail, list) else tail


def runs(element: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Lists in which the same kind of number comes many times, as the coders look for."""
    return st.lists(st.tuples(element, st.integers(1, 40)), min_size=1, max_size=4).map(
        lambda parts: [item for item, count in parts for _ in range(count)]
    )


numbers = st.one_of(runs(integers), runs(floats), runs(st.one_of(integers, floats)), runs(st.integers(0, 255)))

byte_leaves = st.one_of(
    integers,
    floats,
    st.binary(max_size=20),
    names.map(byte_atom),
    identifiers,
    numbers.map(List),
    texts.map(lambda text: List(map(ord, text))),
)
leaves = st.one_of(integers, floats, texts, st.binary(max_size=9).map(lambda raw: raw + b"\xff"), names.map(atom), identifiers)


def byte_map(pairs: list[tuple[Any, Any]]) -> Map:
    """The map that ErlPort's mapping makes of these pairs: of keys that Python takes for one, the later are exact."""
    built: dict[Any, Any] = {}
    seen = set()
    for key, value in pairs:
        if ExactKey(key) in seen:
            continue
        seen.add(ExactKey(key))
        built[ExactKey(key) if key in built else key] = value
    return Map(built)


def distinct(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    built: dict[Any, Any] = {}
    for key, value in pairs:
        built.setdefault(key, value)
    return built


def _byte_containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(inner, max_size=5).map(List),
        st.lists(inner, max_size=4).map(not_opaque),
        st.lists(st.tuples(inner, inner), max_size=5).map(byte_map),
        alike(inner, lambda keys: keys.map(byte_atom)).map(lambda maps: List(map(Map, maps))),
        st.builds(ImproperList, st.lists(inner, min_size=1, max_size=3), inner.map(no_list)),
    )


def alike(inner: st.SearchStrategy[Any], of_names: Any) -> st.SearchStrategy[list[dict[Any, Any]]]:
    """Lists of maps with the same keys, as records are sent."""
    keys = st.lists(of_names(names), min_size=1, max_size=4, unique_by=lambda key: (type(key), key))
    return keys.flatmap(
        lambda fields: st.lists(st.lists(inner, min_size=len(fields), max_size=len(fields)), min_size=1, max_size=6).map(
            lambda rows: [dict(zip(fields, row)) for row in rows]
        )
    )


frozen_terms = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(List),
        st.lists(inner, max_size=3).map(not_opaque),
        st.lists(st.tuples(inner, inner), max_size=3).map(distinct).map(Map),
    ),
    max_leaves=4,
)
"""Terms of our mapping that may be keys."""


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(inner, max_size=5),
        numbers,
        st.lists(inner, max_size=4).map(not_opaque),
        st.lists(st.tuples(frozen_terms, inner), max_size=5).map(distinct),
        alike(inner, lambda keys: keys.map(atom)),
        st.builds(ImproperList, st.lists(leaves, min_size=1, max_size=3), leaves),
    )


byte_terms = st.recursive(byte_leaves, _byte_containers, max_leaves=25)
"""Terms as ErlPort's mapping decodes them."""

terms = st.recursive(leaves, _containers, max_leaves=25)
"""Terms as our mapping decodes them."""


def head(tag: int, *fields: bytes) -> bytes:
    return bytes([tag]) + b"".join(fields)


counts = st.one_of(st.integers(0, 5), st.sampled_from([6, 12, 13, 255, 1000, 65536, 2**31, 2**32 - 1]))
any_tag = st.sampled_from([70, 77, 80, 88, 89, 90, 97, 98, 99, *range(100, 121), 0, 131, 255])
junk = st.one_of(
    st.builds(head, any_tag, st.binary(max_size=12)),
    st.builds(
        lambda tag, count, body: head(tag, count.to_bytes(4, "big"), body),
        st.sampled_from([105, 108, 109, 111, 112, 116, 77, 80]),
        counts,
        st.binary(max_size=12),
    ),
    st.builds(
        lambda tag, size, body: head(tag, bytes([size]), body),
        st.sampled_from([104, 110, 115, 119, 97]),
        st.integers(0, 255),
        st.binary(max_size=12),
    ),
    st.builds(
        lambda tag, size, body: head(tag, size.to_bytes(2, "big"), body),
        st.sampled_from([100, 107, 118, 90, 114]),
        st.integers(0, 300),
        st.binary(max_size=12),
    ),
    st.binary(max_size=9),
)
node_bytes = st.sampled_from([b"w\x01n", b"d\0\x01n", b"s\x01\xe9", b"w\x01\xff", b"a\x01", b""])
atom_bytes = st.sampled_from(
    [
        b"w\x01a",
        b"d\0\x01a",
        b"s\x01a",
        b"v\0\x01a",
        b"w\x04true",
        b"d\0\x09undefined",
        b"w\x03nil",
        b"s\x01\xe9",
        b"w\x0f$erlport.opaque",
        b"w\x06erlang",
        b"w\x06python",
        b"w\x0a__struct__",
        b"w\x01S",
    ]
)
leaf_bytes = st.one_of(
    atom_bytes,
    st.sampled_from(
        [
            b"a\x00",
            b"a\x01",
            b"b\0\0\0\1",
            b"n\1\0\1",
            b"o\0\0\0\1\0\1",
            b"j",
            b"h\0",
            b"t\0\0\0\0",
            b"k\0\2ab",
            b"k\0\0",
            b"l\0\0\0\0",
            b"m\0\0\0\1a",
            b"m\0\0\0\2\xff\xff",
            b"m\0\0\0\0",
        ]
    ),
    floats.map(lambda number: b"F" + struct.pack(">d", number)),
    st.sampled_from(
        [
            b"F\x7f\xf0\0\0\0\0\0\0",
            b"c" + b"1.5".ljust(31, b"\0"),
            b"c" + b"junk".ljust(31, b"\0"),
            b"M\0\0\0\1\3a",
            b"M\0\0\0\1\x08a",
            b"M\0\0\0\1\x09a",
        ]
    ),
    st.builds(lambda tag, node: head(tag, node, bytes(12)), st.sampled_from(b"XYxgf"), node_bytes),
    st.builds(lambda tag, node: head(tag, b"\0\1", node, bytes(8)), st.sampled_from(b"Zr"), node_bytes),
)
compound_bytes = st.recursive(
    leaf_bytes,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5).map(lambda parts: b"h" + bytes([len(parts)]) + b"".join(parts)),
        st.lists(inner, max_size=9).map(lambda parts: b"i" + len(parts).to_bytes(4, "big") + b"".join(parts)),
        st.builds(
            lambda parts, tail: b"l" + len(parts).to_bytes(4, "big") + b"".join(parts) + tail,
            st.lists(inner, max_size=5),
            st.one_of(st.just(b"j"), inner),
        ),
        st.builds(lambda part, count: b"l" + count.to_bytes(4, "big") + part * count + b"j", inner, st.integers(0, 20)),
        st.lists(st.tuples(inner, inner), max_size=4).map(
            lambda pairs: b"t" + len(pairs).to_bytes(4, "big") + b"".join(map(b"".join, pairs))
        ),
        junk,
    ),
    max_leaves=15,
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The external format of a term, most often with something wrong."""
    data = bytearray(b"\x83" + draw(compound_bytes))
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(data) - 1)) if data else 0
        kind = draw(st.integers(0, 3))
        if kind == 0 and data:
            data[place] = draw(st.integers(0, 255))
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            data[place:place] = draw(leaf_bytes)
        else:
            del data[place : place + draw(st.integers(1, 4))]
    return bytes(data)


option_sets = st.fixed_dictionaries(
    {"strings": st.sampled_from(["bytes", "str"])},
    optional={
        "max_bytes": st.integers(0, 60),
        "max_depth": st.integers(0, 6),
        "max_elements": st.integers(0, 30),
        "max_atoms": st.integers(0, 4),
        "max_digits": st.integers(0, 3),
        "view_threshold": st.integers(1, 4),
    },
)
"""Small limits, so that they are met."""
