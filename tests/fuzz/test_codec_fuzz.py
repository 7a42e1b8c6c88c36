"""Bytes that nearly are terms, for as long as ``FUZZ_SECONDS`` says, and those that once were interesting, every time.

An input that fails is printed as hexadecimal. Put into a file of its own in ``corpus``, it is tested for ever after.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.agreement import CODERS, OPTION_SETS, check, check_all, plain
from tests.property.etf.strategies import damaged

SECONDS = float(os.environ.get("FUZZ_SECONDS", "20"))
CORPUS = sorted(Path(__file__).resolve().with_name("corpus").glob("*.bin"))


# Not derandomized, as Hypothesis does by itself where CI is set: each round is to try other bytes.
@settings(deadline=None, max_examples=300, database=None, derandomize=False)
@given(data=st.one_of(damaged(), damaged(), st.binary(max_size=60).map(b"\x83".__add__)), options=st.sampled_from(OPTION_SETS))
def one_round(data: bytes, options: dict[str, Any]) -> None:
    check(data, options)


@pytest.mark.timeout(SECONDS + 300)
def test_for_a_while() -> None:
    end = time.monotonic() + SECONDS
    rounds = 0
    while rounds == 0 or time.monotonic() < end:
        one_round()
        rounds += 1
    assert rounds > 0


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_what_once_was_interesting(path: Path) -> None:
    data = path.read_bytes()
    check_all(data)
    for size in range(len(data)) if len(data) < 200 else (0, 1, len(data) // 2, len(data) - 1):
        check_all(data[:size])


def test_there_is_a_corpus() -> None:
    assert len(CORPUS) >= 20


def test_a_difference_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        name = "other"
        encoder_class = CODERS[0].encoder_class

        class decoder_class:
            def __init__(self, options: Any) -> None:
                pass

            def decode(self, data: Any) -> Any:
                return True

            def decode_from(self, data: Any) -> Any:
                return True, 3

    monkeypatch.setattr("tests.fuzz.agreement.CODERS", [*CODERS, Other()])
    with pytest.raises(AssertionError, match="other differs"):
        check(b"\x83a\x01", OPTION_SETS[0])
    assert plain(1) != plain(True)
    assert plain(0.0) != plain(-0.0)
