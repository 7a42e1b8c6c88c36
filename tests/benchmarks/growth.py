"""What ten times and a hundred times the elements cost: the time of a linear coder grows as its input does.

msgspec's msgpack grows beside ours as a control. Where it, too, takes more than ten times as long for ten times the elements, the
machine's caches and fresh pages of memory are to blame and not the coder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tests.benchmarks.codec import FORMATS, coders
from tests.benchmarks.measure import Contender, Summary, decoding, encoding, round_robin
from tests.benchmarks.payloads import NAMES, Payload
from tests.benchmarks.table import Row, Target

ROUNDS = 3
FACTORS = (1, 10, 100)
QUICK_FACTORS = (1, 10)

_TARGET = Target(11.0, on="value")
_CONTROL = "msgspec msgpack"

Measured = dict[tuple[str, str, str, int], Summary]
"""By direction, coder, payload and factor: how many times longer than for a tenth of the elements."""


def rows(data: dict[str, bytes], *, quick: bool) -> list[Row]:
    """A row for each direction and coder: the worst step of all payloads."""
    factors = QUICK_FACTORS if quick else FACTORS
    measured: Measured = {}
    for name in NAMES:
        sizes = {factor: Payload(name, "bytes", data[name]).grown(factor) for factor in factors}
        for direction, contenders in (("decode", _decoders(sizes)), ("encode", _encoders(sizes))):
            seconds = round_robin(contenders, ROUNDS)
            measured |= _steps(name, direction, seconds, factors)
    return [_row(measured, direction, coder) for direction in ("decode", "encode") for coder in ("C", "pure")]


def _decoders(sizes: Mapping[int, Payload]) -> dict[str, Contender]:
    return {
        _label(coder, factor): decoding(format_.decode, payload.data)
        for factor, payload in sizes.items()
        for coder, format_ in coders(payload.strings).items()
    } | _control(sizes, lambda data: decoding(FORMATS[_CONTROL].decode, data))


def _encoders(sizes: Mapping[int, Payload]) -> dict[str, Contender]:
    return {
        _label(coder, factor): encoding(format_.encode, partial(payload.codec.decode, payload.data))
        for factor, payload in sizes.items()
        for coder, format_ in coders(payload.strings).items()
    } | _control(sizes, lambda data: encoding(FORMATS[_CONTROL].encode, partial(FORMATS[_CONTROL].decode, data)))


def _control(sizes: Mapping[int, Payload], contender: Callable[[bytes], Contender]) -> dict[str, Contender]:
    encode = FORMATS[_CONTROL].encode
    try:
        return {_label(_CONTROL, factor): contender(encode(payload.plain(tuples=False))) for factor, payload in sizes.items()}
    except OverflowError:
        return {}


def _label(coder: str, factor: int) -> str:
    return f"{coder} × {factor}"


def _steps(payload: str, direction: str, seconds: Mapping[str, list[float]], factors: tuple[int, ...]) -> Measured:
    return {
        (direction, coder, payload, more): Summary.of_ratios(seconds[_label(coder, more)], seconds[_label(coder, less)])
        for less, more in zip(factors, factors[1:], strict=False)
        for coder in ("C", "pure", _CONTROL)
        if _label(coder, more) in seconds
    }


def _row(measured: Measured, direction: str, coder: str) -> Row:
    worst = _worst(measured, direction, coder)
    control = _worst(measured, direction, _CONTROL)
    same: Any = (direction, _CONTROL, *worst[2:])
    return Row(
        f"{direction} ten times the elements, {coder}",
        measured[worst],
        "×",
        f"{_CONTROL}, its worst",
        measured[control],
        target=_TARGET,
        remark=f"worst: {_place(worst)}{_control_there(measured.get(same))}; {_CONTROL}'s: {_place(control)}",
    )


def _worst(measured: Measured, direction: str, coder: str) -> tuple[str, str, str, int]:
    return max((key for key in measured if key[:2] == (direction, coder)), key=lambda key: measured[key].median)


def _place(key: tuple[str, str, str, int]) -> str:
    return f"{key[2]}, {key[3] // 10} to {key[3]} times"


def _control_there(control: Summary | None) -> str:
    return "" if control is None else f" ({_CONTROL} there {control.median:.3g})"
