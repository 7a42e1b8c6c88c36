"""Timing side by side: contenders take turns in every round, so that what slows the machine down slows all of them.

What is timed here is computation by one thread, so the clock is the thread's own: time that other processes took does not count.
"""

from __future__ import annotations

import gc
import random
import statistics
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import thread_time
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


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """As with :mod:`timeit`: which contender pays for a collection of garbage would be a matter of luck."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def round_robin(contenders: Mapping[str, Contender], rounds: int) -> dict[str, list[float]]:
    """Seconds for one run of each contender in each round. The order within a round is shuffled, the same way every time."""
    order = list(contenders)
    shuffle = random.Random(1).shuffle
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    with collector_at_rest():
        batches = {name: _batch(contender) for name, contender in contenders.items()}
        for _ in range(rounds):
            shuffle(order)
            for name in order:
                seconds[name].append(_time(contenders[name], batches[name]))
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
    start = thread_time()
    deque(results, maxlen=0)
    return (thread_time() - start) / count


def time_keeping(run: Callable[[Any], Any], arguments: Sequence[Any]) -> float:
    """Seconds for all ``arguments``, with every result kept until the clock has stopped."""
    results = map(run, arguments)
    start = thread_time()
    kept = list(results)
    seconds = thread_time() - start
    del kept
    return seconds
