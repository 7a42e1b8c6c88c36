"""Timing side by side: contenders take turns in every round, so that what slows the machine down slows all of them."""

from __future__ import annotations

import gc
import random
import statistics
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

BATCH_SECONDS = 0.0005
"""How long one timing should take at least. Short enough that the arguments of a batch of small calls stay in the cache."""

LARGEST_BATCH = 2000


@dataclass(frozen=True, slots=True)
class Summary:
    """The median of some numbers, with the least and the greatest of them."""

    median: float
    least: float
    greatest: float
    count: int

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Summary:
        return cls(statistics.median(numbers), min(numbers), max(numbers), len(numbers))

    @classmethod
    def of_ratios(cls, numbers: Sequence[float], yardstick: Sequence[float]) -> Summary:
        """Of the ratios in each round; both measured in the same rounds."""
        return cls.of([number / base for number, base in zip(numbers, yardstick, strict=True)])

    def scaled(self, factor: float) -> Summary:
        return Summary(self.median * factor, self.least * factor, self.greatest * factor, self.count)


@dataclass(frozen=True, slots=True)
class Contender:
    """``run`` is timed on what ``arguments(n)`` gives, which is n arguments of their own."""

    run: Callable[[Any], Any]
    arguments: Callable[[int], list[Any]]


def decoding(decode: Callable[[Any], Any], data: bytes) -> Contender:
    return Contender(decode, lambda count: [data] * count)


def encoding(encode: Callable[[Any], Any], make: Callable[[], Any]) -> Contender:
    """``make`` gives a new value each time: a value that was encoded before would have the UTF-8 of its strings at hand."""
    return Contender(encode, lambda count: [make() for _ in range(count)])


def round_robin(contenders: Mapping[str, Contender], rounds: int) -> dict[str, list[float]]:
    """Seconds for one run of each contender in each round. The order within a round is shuffled, the same way every time.

    The garbage collector rests meanwhile, as with :mod:`timeit`: which contender pays for a collection would be a matter of luck.
    """
    order = list(contenders)
    shuffle = random.Random(1).shuffle
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    gc.collect()
    gc.disable()
    try:
        batches = {name: _batch(contender) for name, contender in contenders.items()}
        for _ in range(rounds):
            shuffle(order)
            for name in order:
                seconds[name].append(_time(contenders[name], batches[name]))
    finally:
        gc.enable()
    return seconds


def _batch(contender: Contender) -> int:
    """How many runs make a batch long enough. Measuring that warms up, too."""
    count = 1
    while count < LARGEST_BATCH:
        taken = count * _time(contender, count)
        if taken >= BATCH_SECONDS:
            break
        count = min(LARGEST_BATCH, max(2 * count, int(count * BATCH_SECONDS / taken)))
    return count


def _time(contender: Contender, count: int) -> float:
    arguments = contender.arguments(count)
    # Not a loop in Python, and each result is dropped before the next is made.
    results = map(contender.run, arguments)
    start = perf_counter()
    deque(results, maxlen=0)
    return (perf_counter() - start) / count
