"""What ten times the elements cost, and ten times again: the time of a linear coder grows as its input does.

Taken naively, the time of anything grows faster than that: what was decoded from 100 kB lies in the processor's cache and in
pages that the process has touched before, what was decoded from 10 MB does not. So the smaller size is timed on as much data as
the larger: ten terms of one size, all different objects and all kept, against one term of ten times the size; and the C library
is told to keep the memory that it has. What is left is the growth of the coder. The rows "on its own" show the naive measure,
where msgspec's msgpack, too, grows by more than ten.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from tests.benchmarks.codec import FORMATS, YARDSTICK, Format, coders
from tests.benchmarks.measure import Summary, collector_at_rest, decoding, encoding, round_robin, time_keeping
from tests.benchmarks.payloads import NAMES, Payload
from tests.benchmarks.table import Row, Target

FACTORS = (1, 10, 100)
"""Of a tenth of the payload, as a rule, so that the largest is ten times what the other rows measure."""

QUICK_FACTORS = FACTORS[:2]
ROUNDS = 7
QUICK_ROUNDS = 3

LEAST_BYTES = 1_000_000
"""How much data one timing handles at least."""

_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4

_TARGET = Target(11.0, on="value")


@dataclass(frozen=True, slots=True)
class Case:
    """One payload in several sizes for one coder: ``data`` by factor, and how to make values of it."""

    payload: str
    coder: str
    format: Format
    data: dict[int, bytes]
    fresh: Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class Growth:
    """How many times longer something took for ``factor`` times a payload than for a tenth of that."""

    payload: str
    coder: str
    direction: str
    factor: int
    times: Summary
    alone: bool = False

    def place(self) -> str:
        return f"{self.payload}, × {self.factor // 10} to × {self.factor}"


def rows(data: dict[str, bytes], *, quick: bool) -> list[Row]:
    """The worst step of all payloads, for each direction and coder. Changes how this process uses memory from here on."""
    _keep_memory()
    factors, rounds = (QUICK_FACTORS, QUICK_ROUNDS) if quick else (FACTORS, ROUNDS)
    found: list[Growth] = []
    for name in NAMES:
        for case in _cases(_base(Payload(name, "bytes", data[name])), factors):
            found += _growths(case, factors, rounds)
            if case.coder != "pure":
                found += _growths_alone(case, rounds)
    return [
        _row(found, direction, coder, alone)
        for direction in ("decode", "encode")
        for coder, alone in (("C", False), ("pure", False), ("C", True))
    ]


def _keep_memory() -> None:
    """Has glibc take large blocks, too, from its heap, and never give that back; elsewhere does nothing."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for parameter, value in ((_M_TRIM_THRESHOLD, 2**31 - 1), (_M_MMAP_MAX, 0)):
        mallopt(parameter, value)


def _base(payload: Payload) -> Payload:
    """A tenth, unless Erlang writes that differently: up to 65 535 bytes in a list are a string."""
    return payload if payload.name == "smallints_100k" else payload.part()


def _cases(payload: Payload, factors: Sequence[int]) -> Iterator[Case]:
    grown = {factor: payload.grown(factor) for factor in factors}
    data = {factor: grown[factor].data for factor in factors}
    for coder, format_ in coders(payload.strings).items():
        yield Case(payload.name, coder, format_, data, payload.codec.decode)
    control = FORMATS[YARDSTICK]
    try:
        data = {factor: control.encode(grown[factor].plain(tuples=False)) for factor in factors}
    except OverflowError:
        return
    yield Case(payload.name, YARDSTICK, control, data, control.decode)


def _growths(case: Case, factors: Sequence[int], rounds: int) -> Iterator[Growth]:
    for less, more in pairwise(factors):
        for direction, run, argument in (("decode", case.format.decode, _copy), ("encode", case.format.encode, case.fresh)):
            sides = [(case.data[less], more // less), (case.data[more], 1)]
            yield Growth(case.payload, case.coder, direction, more, _on_equal_terms(run, argument, sides, rounds))


def _copy(data: bytes) -> bytes:
    return bytes(memoryview(data))


def _on_equal_terms(
    run: Callable[[Any], Any], argument: Callable[[bytes], Any], sides: list[tuple[bytes, int]], rounds: int
) -> Summary:
    """``sides`` are two sizes of data, and how many of each make the same amount."""
    repeat = -(-LEAST_BYTES // len(sides[1][0]))
    seconds: list[list[float]] = [[], []]
    with collector_at_rest():
        # The first round is the first to touch that much memory, and does not count.
        for turn in range(rounds + 1):
            for side in (0, 1) if turn % 2 else (1, 0):
                data, count = sides[side]
                taken = time_keeping(run, [argument(data) for _ in range(count * repeat)])
                seconds[side].append(taken / (count * repeat))
    return Summary.of_ratios(seconds[1][1:], seconds[0][1:])


def _growths_alone(case: Case, rounds: int) -> Iterator[Growth]:
    decoders = {str(factor): decoding(case.format.decode, case.data[factor]) for factor in (1, 10)}
    encoders = {str(factor): encoding(case.format.encode, partial(case.fresh, case.data[factor])) for factor in (1, 10)}
    for direction, contenders in (("decode", decoders), ("encode", encoders)):
        seconds = round_robin(contenders, rounds)
        yield Growth(case.payload, case.coder, direction, 10, Summary.of_ratios(seconds["10"], seconds["1"]), alone=True)


def _row(found: list[Growth], direction: str, coder: str, alone: bool) -> Row:
    worst = _worst(found, direction, coder, alone)
    control = _worst(found, direction, YARDSTICK, alone)
    return Row(
        f"{direction} ten times the elements, {coder}{', on its own' if alone else ''}",
        worst.times,
        "×",
        f"{YARDSTICK}, its worst",
        control.times,
        target=None if alone else _TARGET,
        remark=f"worst: {worst.place()}; {YARDSTICK}'s: {control.place()}",
        raw={growth.place(): growth.times for growth in _of(found, direction, coder, alone)},
    )


def _worst(found: list[Growth], direction: str, coder: str, alone: bool) -> Growth:
    return max(_of(found, direction, coder, alone), key=lambda growth: growth.times.median)


def _of(found: list[Growth], direction: str, coder: str, alone: bool) -> list[Growth]:
    return [growth for growth in found if (growth.direction, growth.coder, growth.alone) == (direction, coder, alone)]
