"""The frozen corpus: bytes with the verdict that they have had since they were written down.

``corpus.tsv`` has one line for each: the list it is in (``accept``: every decoder must read it; ``reject``: none may;
``defined``: decoders differ, and this is what ours does), a name, what the BEAM does, the bytes, and what comes out in the
two mappings, a term's ``repr`` or an error's class, offset and path. ``vectors.tsv`` has terms written by OTP 25, one of every tag.

Bytes are hexadecimal, or base 85 of zlib's where they are many.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from dspex_erl.errors import DecodeError
from tests.coders import Coder
from tests.conformance.beam import Beam

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[2] / "shared" / "vectors" / "etf"
"""Where the vectors come from. They are only there in the workshop; elsewhere the frozen copy is all there is."""

# Python has one key for what are two in Erlang, so that our mapping refuses these.
MERGED_BY_PYTHON = {"map_key_atom_vs_binary", "map_key_false_0", "map_key_float_list", "map_key_int_float", "map_key_true_1"}


@dataclass(frozen=True)
class Entry:
    verdict: str
    name: str
    beam: str
    data: bytes
    outcome: dict[str, str]


def unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b85decode(text))


def read_corpus() -> list[Entry]:
    entries = []
    for line in (HERE / "corpus.tsv").read_text("utf-8").splitlines():
        verdict, name, beam, data, in_bytes, in_str = line.split("\t")
        raw = unpacked(data[2:]) if data.startswith("z:") else bytes.fromhex(data)
        entries.append(Entry(verdict, name, beam, raw, {"bytes": in_bytes, "str": in_str}))
    return entries


CORPUS = read_corpus()
VECTORS = {name: unpacked(data) for name, data in (line.split("\t") for line in (HERE / "vectors.tsv").read_text().splitlines())}


def outcome(coder: Coder, data: bytes, strings: str) -> str:
    try:
        return repr(coder.decode(data, strings=strings))
    except DecodeError as error:
        return f"{type(error).__name__} {error.offset} {error.path}"


@pytest.mark.parametrize("entry", CORPUS, ids=lambda entry: f"{entry.verdict}-{entry.name}")
def test_verdict(coder: Coder, strings: str, entry: Entry) -> None:
    found = outcome(coder, entry.data, strings)
    assert found == entry.outcome[strings]
    failed = found.split(" ")[0].endswith("Error")
    if entry.verdict != "defined":
        assert failed == (entry.verdict == "reject")


def test_names_are_unique_and_lists_are_not_empty() -> None:
    assert len({entry.name for entry in CORPUS}) == len(CORPUS)
    assert {entry.verdict for entry in CORPUS} == {"accept", "reject", "defined"}
    assert len(VECTORS) == 86


@pytest.mark.erlang
def test_the_beam_has_the_same_opinion(coder: Coder, beam: Beam) -> None:
    for entry, reads in zip(CORPUS, beam.readable([entry.data for entry in CORPUS])):
        assert entry.beam == ("beam reads" if reads else "beam refuses"), entry.name
        if entry.verdict != "defined":
            assert reads == (entry.verdict == "accept"), entry.name
    accepted = [entry for entry in CORPUS if entry.verdict == "accept"]
    for strings in ("bytes", "str"):
        back = [coder.encode(coder.decode(entry.data, strings=strings), strings=strings) for entry in accepted]
        same = beam.same([(entry.data, raw) for entry, raw in zip(accepted, back)])
        assert [entry.name for entry, ok in zip(accepted, same) if not ok] == []


@pytest.mark.erlang
def test_vectors_come_back_the_same(coder: Coder, strings: str, beam: Beam) -> None:
    names = []
    pairs = []
    for name, data in VECTORS.items():
        if strings == "str" and name in MERGED_BY_PYTHON:
            assert outcome(coder, data, strings).startswith("DecodeError 1 $[")
            continue
        names.append(name)
        pairs.append((data, coder.encode(coder.decode(data, strings=strings), strings=strings)))
    assert [name for name, ok in zip(names, beam.same(pairs)) if not ok] == []


def test_the_frozen_vectors_are_those_of_the_workshop() -> None:
    if SHARED.is_dir():
        assert {path.stem: path.read_bytes() for path in SHARED.glob("*.etf")} == VECTORS
    assert {data[1] for data in VECTORS.values()} == {70, 77, 80, 88, 89, 90, 97, 98, 99, *range(100, 117), 119, 118, 120, 113}


def test_vectors_that_python_can_write_again_are_the_same_bytes(coder: Coder) -> None:
    """Erlang's newest encoding of a term is ours too, for all that is not an old tag or compressed."""
    old = {
        "big_leading_zero_bytes",
        "big_non_canonical_zero",
        "float_ext_99",
        "port_102_old",
        "pid_103_old",
        "reference_101_old",
        "new_reference_114_old",
    }
    for name, data in VECTORS.items():
        if name in old | MERGED_BY_PYTHON or "_ext_100" in name or "latin1_1" in name or "ext_115" in name or data[1] == 80:
            continue
        assert coder.encode(coder.decode(data, strings="str"), strings="str") == data, name
