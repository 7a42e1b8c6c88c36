"""Erlang is the oracle: what it writes we read, what we write it reads, and nothing changes on the way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from dspex_erl.terms._containers import identity
from tests.coders import Coder
from tests.conformance.beam import Beam
from tests.property.etf.strategies import byte_terms, terms

SEEDS = range(4)
COUNT = 1500

# The fixtures hold no state that an example could change.
oracle = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.erlang
class TestFromErlang:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_random_terms_come_back_the_same(self, coder: Coder, strings: str, beam: Beam, seed: int) -> None:
        sent = beam.random_terms(seed, COUNT, mergeable_keys=strings == "bytes")
        assert len(sent) == COUNT
        back = [coder.encode(coder.decode(raw, strings=strings), strings=strings) for raw in sent]
        wrong = [raw.hex() for raw, ok in zip(sent, beam.same(list(zip(sent, back)))) if not ok]
        assert wrong == []

    def test_random_terms_have_every_tag(self, beam: Beam) -> None:
        first = {raw[1] for seed in SEEDS for raw in beam.random_terms(seed, COUNT, mergeable_keys=True)}
        assert first >= {70, 77, 80, 97, 98, 99, 100, 104, 106, 107, 108, 109, 110, 111, 112, 113, 116, 118, 119}

    def test_mapping_of_strings_does_not_matter_to_the_bytes(self, coder: Coder, beam: Beam) -> None:
        for raw in beam.random_terms(99, 500, mergeable_keys=False):
            views = coder.decode(raw, strings="str", view_threshold=3)
            plain = coder.decode(raw, strings="str")
            assert coder.encode(views, strings="str") == coder.encode(plain, strings="str")


@pytest.mark.erlang
class TestFromPython:
    @oracle
    @given(term=byte_terms)
    def test_erlports_mapping(self, coder: Coder, beam: Beam, term: Any) -> None:
        encoded = coder.encode(term)
        assert identity(coder.decode(beam.rewritten([encoded])[0])) == identity(term)

    @oracle
    @given(term=terms)
    def test_our_mapping(self, coder: Coder, beam: Beam, term: Any) -> None:
        encoded = coder.encode(term, strings="str")
        assert identity(coder.decode(beam.rewritten([encoded])[0], strings="str")) == identity(term)
