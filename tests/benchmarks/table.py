"""The rows that a run gives, as a table for people and as data for JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tests.benchmarks.measure import Summary

_HEADINGS = ("what", "measured", "yardstick", "ratio, median [min–max]", "target", "met?", "remarks")
_UNITS = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9))


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on the median of a row's ``value`` or ``ratio``, from the project's list of numbers to reach."""

    bound: float
    on: Literal["value", "ratio"] = "ratio"
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement. ``unit`` is ``"s"`` for seconds, ``"/s"`` for a rate, ``"×"`` for a plain factor."""

    name: str
    value: Summary
    unit: Literal["s", "/s", "×"]
    yardstick: str = ""
    yardstick_value: Summary | None = None
    ratio: Summary | None = None
    target: Target | None = None
    remark: str = ""
    raw: dict[str, Summary] = field(default_factory=dict)
    """What else was measured for this row; for the JSON file."""

    def met(self) -> bool | None:
        """Whether the target is met; ``None`` without one."""
        if self.target is None:
            return None
        checked = self.value if self.target.on == "value" else self.ratio
        assert checked is not None, self.name
        return checked.median >= self.target.bound if self.target.at_least else checked.median <= self.target.bound

    def cells(self) -> tuple[str, ...]:
        yardstick = self.yardstick
        if self.yardstick_value is not None:
            yardstick += f" {_quantity(self.yardstick_value.median, self.unit)}"
        ratio = self.ratio
        shown_ratio = f"{ratio.median:.2f} [{ratio.least:.2f}–{ratio.greatest:.2f}]" if ratio is not None else ""
        return (self.name, _measured(self.value, self.unit, ratio is None), yardstick, shown_ratio, *self._verdict(), self.remark)

    def _verdict(self) -> tuple[str, str]:
        if self.target is None:
            return "", ""
        unit = self.unit if self.target.on == "value" else "×"
        return f"{'≥' if self.target.at_least else '≤'} {_quantity(self.target.bound, unit)}", "yes" if self.met() else "NO"

    def as_data(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met()}


def render(rows: Iterable[Row]) -> str:
    """A Markdown table that is aligned for reading as it is."""
    cells = [_HEADINGS, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _measured(value: Summary, unit: str, with_spread: bool) -> str:
    shown = _quantity(value.median, unit)
    if with_spread and value.count > 1:
        shown += f" [{_quantity(value.least, unit)}–{_quantity(value.greatest, unit)}]"
    return shown


def _quantity(number: float, unit: str) -> str:
    if unit == "/s":
        return f"{number:,.0f}/s".replace(",", " ")
    if unit == "×":
        return f"{number:.3g} ×"
    name, factor = next(((name, factor) for name, factor in _UNITS if number >= factor), _UNITS[-1])
    return f"{number / factor:.3g} {name}"
