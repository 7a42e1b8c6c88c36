"""The coders against msgspec's msgpack, orjson, pickle and marshal, and against each other.

Each format gets the data in the types that it can hold: atoms as ``str`` for all but ours, tuples as lists for msgpack and JSON.
msgpack holds no integer beyond 64 bits, and JSON neither that nor bytes, so some cells of the table stay empty.
"""

from __future__ import annotations

import marshal
import math
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import orjson

from dspex_erl.etf import _pure_decoder, _pure_encoder, _speedups
from dspex_erl.etf._options import Options
from tests.benchmarks.measure import Contender, Summary, decoding, encoding, round_robin
from tests.benchmarks.payloads import LIMITS, MAPPINGS, NAMES, Payload, Strings
from tests.benchmarks.table import Row, Target

ROUNDS = 25
QUICK_ROUNDS = 5

YARDSTICK = "msgspec msgpack"
_PAYLOAD_TARGETS = {("dspy_examples", "decode"): 0.9, ("dspy_examples", "encode"): 1.2}
_WORST_TARGET = 1.5
_PURE_TARGETS = {"decode": 5.0, "encode": 13.0}


@dataclass(frozen=True, slots=True)
class Format:
    """A pair of functions, and whether they can hold tuples."""

    decode: Callable[[Any], Any]
    encode: Callable[[Any], bytes]
    tuples: bool = False


FORMATS = {
    YARDSTICK: Format(msgspec.msgpack.Decoder().decode, msgspec.msgpack.Encoder().encode),
    "orjson": Format(orjson.loads, orjson.dumps),
    "pickle": Format(pickle.loads, partial(pickle.dumps, protocol=5), tuples=True),
    "marshal": Format(marshal.loads, marshal.dumps, tuples=True),
}


def coders(strings: Strings) -> dict[str, Format]:
    """Both of ours, whichever the package would choose."""
    options = Options(strings=strings, **LIMITS)
    return {
        "C": Format(_speedups.Decoder(options).decode, _speedups.Encoder(options).encode),
        "pure": Format(_pure_decoder.Decoder(options).decode, _pure_encoder.Encoder(options).encode),
    }


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds per round for one payload in one mapping and one direction, by contender."""

    payload: str
    strings: Strings
    direction: str
    seconds: dict[str, list[float]]

    def ratio(self, yardstick: str) -> Summary | None:
        """Of the C coder to ``yardstick``; ``None`` when that cannot hold the payload."""
        if yardstick not in self.seconds:
            return None
        return Summary.of_ratios(self.seconds["C"], self.seconds[yardstick])


def rows(data: dict[str, bytes], *, quick: bool) -> list[Row]:
    """Rows for every payload, mapping and direction, and for what is worst among them."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    found: list[Row] = []
    for measure in (_decode, _encode):
        for strings in MAPPINGS:
            timings = [measure(Payload(name, strings, data[name]), rounds) for name in NAMES]
            found += [_payload_row(timing) for timing in timings]
            found += [_worst_row(timings), _pure_row(timings)]
    return found


def _decode(payload: Payload, rounds: int) -> Timings:
    contenders = {name: decoding(coder.decode, payload.data) for name, coder in coders(payload.strings).items()}
    for name, format_, data in _held_by(payload):
        contenders[name] = decoding(format_.decode, data)
    return _timings(payload, "decode", contenders, rounds)


def _encode(payload: Payload, rounds: int) -> Timings:
    contenders = {name: encoding(coder.encode, lambda: payload.term) for name, coder in coders(payload.strings).items()}
    for name, format_, data in _held_by(payload):
        contenders[name] = encoding(format_.encode, partial(format_.decode, data))
    return _timings(payload, "encode", contenders, rounds)


def _held_by(payload: Payload) -> list[tuple[str, Format, bytes]]:
    """The formats that can hold ``payload``, each with its encoding."""
    held = []
    for name, format_ in FORMATS.items():
        try:
            held.append((name, format_, format_.encode(payload.plain(tuples=format_.tuples))))
        except (OverflowError, TypeError):
            continue
    return held


def _timings(payload: Payload, direction: str, contenders: dict[str, Contender], rounds: int) -> Timings:
    return Timings(payload.name, payload.strings, direction, round_robin(contenders, rounds))


def _payload_row(timing: Timings) -> Row:
    bound = _PAYLOAD_TARGETS.get((timing.payload, timing.direction))
    ratio = timing.ratio(YARDSTICK)
    return Row(
        f"{timing.direction} {timing.payload}, {timing.strings}",
        Summary.of(timing.seconds["C"]),
        "s",
        YARDSTICK if ratio else "",
        Summary.of(timing.seconds[YARDSTICK]) if ratio else None,
        ratio,
        Target(bound) if bound is not None else None,
        _others(timing),
        {name: Summary.of(seconds) for name, seconds in timing.seconds.items()},
    )


def _others(timing: Timings) -> str:
    ratios = {name: timing.ratio(name) for name in FORMATS if name != YARDSTICK}
    against = [f"{name} {ratio.median:.2f}" for name, ratio in ratios.items() if ratio is not None]
    pure = Summary.of_ratios(timing.seconds["pure"], timing.seconds["C"])
    return f"against {', '.join(against)}; pure takes {pure.median:.1f} ×"


def _worst_row(timings: Sequence[Timings]) -> Row:
    measured = {timing.payload: ratio for timing in timings if (ratio := timing.ratio(YARDSTICK))}
    worst = max(measured, key=lambda name: measured[name].median)
    first = timings[0]
    seconds = next(timing.seconds for timing in timings if timing.payload == worst)
    return Row(
        f"{first.direction} the worst payload, {first.strings}",
        Summary.of(seconds["C"]),
        "s",
        YARDSTICK,
        Summary.of(seconds[YARDSTICK]),
        measured[worst],
        Target(_WORST_TARGET),
        worst,
    )


def _pure_row(timings: Sequence[Timings]) -> Row:
    by_payload = {timing.payload: Summary.of_ratios(timing.seconds["pure"], timing.seconds["C"]) for timing in timings}
    ratios = list(by_payload.values())
    slowest = max(by_payload, key=lambda name: by_payload[name].median)
    first = timings[0]
    mean = Summary(
        _geometric_mean([ratio.median for ratio in ratios]),
        _geometric_mean([ratio.least for ratio in ratios]),
        _geometric_mean([ratio.greatest for ratio in ratios]),
        ratios[0].count,
    )
    return Row(
        f"{first.direction}, pure against C, {first.strings}",
        mean,
        "×",
        "C, geometric mean over the payloads",
        ratio=mean,
        target=Target(_PURE_TARGETS[first.direction]),
        remark=f"worst: {slowest}, {by_payload[slowest].median:.1f} ×",
    )


def _geometric_mean(numbers: Sequence[float]) -> float:
    return math.exp(math.fsum(map(math.log, numbers)) / len(numbers))
