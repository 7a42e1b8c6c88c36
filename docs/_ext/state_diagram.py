"""Sphinx directives that draw a state machine from the table that the program itself runs.

::

    ```{state-diagram} dspex_erl.wire.protocol:STEPS
    :start: open
    ```

The argument names a mapping of ``(state, step)`` to the next state. Two views of it are made: a picture, in which states stand in a
column and each arrow carries its steps, and a table with a row for every step. Neither can say anything that the program does not do,
because both are made from its table at every build; nothing but Python is needed to draw them.
"""

from __future__ import annotations

import html
import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive, directives
from sphinx.application import Sphinx

Table = Mapping[tuple[str, str], str]

STATE_WIDTH = 110
STATE_HEIGHT = 38
LINE = 15
CHARACTER = 6.6
MARGIN = 14
ARROW_BEND = 28
ARROW_HEAD = (
    '<marker id="arrow-head" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto">'
    '<path d="M0,0 L9,4 L0,8 z" fill="currentColor"/></marker>'
)


def load(reference: str) -> Table:
    """The object that ``module:name`` names."""
    module, _, name = reference.partition(":")
    table = getattr(importlib.import_module(module), name)
    return {(text(state), text(step)): text(target) for (state, step), target in table.items()}


def text(value: object) -> str:
    """What to call a state or step: an enumeration's member by its name, a class by its own."""
    return value if isinstance(value, str) else str(getattr(value, "name", None) or getattr(value, "__name__", value))


def states_of(table: Table, start: str | None) -> list[str]:
    """Every state, in the order in which the machine may first reach them."""
    everything = dict.fromkeys(state for state, _ in table) | dict.fromkeys(table.values())
    order = [start] if start else [next(iter(everything))]
    if order[0] not in everything:
        raise ValueError(f"expected start to be one of {sorted(everything)}, got {start!r}")
    for state in order:
        order += [target for (source, _), target in table.items() if source == state and target not in order]
    return list(dict.fromkeys([*order, *everything]))


def arrows_of(table: Table) -> dict[tuple[str, str], list[str]]:
    """The steps of every arrow: (from, to) -> steps."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, step), target in table.items():
        arrows.setdefault((state, target), []).append(step)
    return arrows


def factored(steps: Iterable[str]) -> list[str]:
    """Steps as lines of text, those with the same first word gathered in one: ``send Call, Result``."""
    groups: dict[str, list[str]] = {}
    for step in steps:
        verb, _, rest = step.partition(" ")
        groups.setdefault(verb, []).append(rest)
    lines = []
    for verb, rests in groups.items():
        line = verb
        for number, rest in enumerate(filter(None, rests)):
            piece = f"{', ' if number else ' '}{rest}"
            if len(line) + len(piece) > 46:
                lines.append(line + ("," if number else ""))
                line, piece = "", f"   {rest}"
            line += piece
        lines.append(line)
    return lines


class Picture:
    """One drawing: states in a column, arrows to oneself and upward ones on the right, downward ones between and on the left."""

    def __init__(self, table: Table, start: str | None) -> None:
        self.states = states_of(table, start)
        self.labels = {arrow: factored(steps) for arrow, steps in arrows_of(table).items()}
        self.row = {state: number for number, state in enumerate(self.states)}
        self.loops = {source: lines for (source, target), lines in self.labels.items() if source == target}
        self.next = [arrow for arrow in self.labels if self.distance(arrow) == 1]
        self.down = sorted((arrow for arrow in self.labels if self.distance(arrow) > 1), key=self.distance)
        self.up = sorted((arrow for arrow in self.labels if self.distance(arrow) < 0), key=self.distance, reverse=True)
        self.left = MARGIN + sum(ARROW_BEND + self.width_of(arrow) for arrow in self.down)
        self.right = self.left + STATE_WIDTH
        self.middle: list[float] = []
        self.height = self.set_rows()
        self.shapes: list[str] = []

    def distance(self, arrow: tuple[str, str]) -> int:
        return self.row[arrow[1]] - self.row[arrow[0]]

    def width_of(self, arrow: tuple[str, str]) -> float:
        return CHARACTER * max(map(len, self.labels[arrow]))

    def set_rows(self) -> float:
        """Finds the height of every state's middle and, returned, of the whole."""
        top: float = MARGIN
        for number, state in enumerate(self.states):
            height = max(STATE_HEIGHT, LINE * len(self.loops.get(state, [])) + 10)
            self.middle.append(top + height / 2)
            below = self.labels.get((state, self.states[number + 1]), []) if number + 1 < len(self.states) else []
            top += height + max(44, LINE * len(below) + 24)
        return top - 44 + MARGIN

    def draw(self, title: str) -> str:
        for state in self.states:
            self.draw_state(state)
        for arrow in self.next:
            self.draw_next(arrow)
        x = self.left
        for arrow in self.down:
            x -= ARROW_BEND
            self.draw_bent(arrow, self.left, x, "end")
            x -= self.width_of(arrow)
        x = self.edge()
        for arrow in self.up:
            x += ARROW_BEND
            self.draw_bent(arrow, self.right, x, "start")
            x += self.width_of(arrow)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {x + MARGIN:.0f} {self.height:.0f}" '
            f'width="{x + MARGIN:.0f}" style="max-width: 100%; height: auto" font-family="monospace" font-size="11" fill="currentColor">'
            f"<title>{html.escape(title)}</title><defs>{ARROW_HEAD}</defs>{''.join(self.shapes)}</svg>"
        )

    def edge(self) -> float:
        """Where the column of states ends, with what is written beside it."""
        loops = max((self.width_of((state, state)) + ARROW_BEND + 24 for state in self.loops), default=20)
        between = max((self.width_of(arrow) + 10 - STATE_WIDTH / 2 for arrow in self.next), default=0)
        return self.right + max(loops, between)

    def draw_state(self, state: str) -> None:
        y = self.middle[self.row[state]]
        self.shapes.append(
            f'<rect x="{self.left:.0f}" y="{y - STATE_HEIGHT / 2:.0f}" width="{STATE_WIDTH}" height="{STATE_HEIGHT}" rx="10" '
            f'fill="none" stroke="currentColor" stroke-width="{1.2 if self.row[state] else 2}"/>'
        )
        self.write(self.left + STATE_WIDTH / 2, y, [state], "middle")
        if state in self.loops:
            bend = self.right + 42
            self.draw_arrow(f"M {self.right} {y - 9} C {bend} {y - 22}, {bend} {y + 22}, {self.right + 2} {y + 9}")
            self.write(self.right + 44, y, self.loops[state], "start")

    def draw_next(self, arrow: tuple[str, str]) -> None:
        x = self.left + STATE_WIDTH / 2
        begin = self.middle[self.row[arrow[0]]] + STATE_HEIGHT / 2
        end = self.middle[self.row[arrow[1]]] - STATE_HEIGHT / 2
        self.draw_arrow(f"M {x} {begin} L {x} {end - 2}")
        self.write(x + 10, (begin + end) / 2, self.labels[arrow], "start")

    def draw_bent(self, arrow: tuple[str, str], side: float, x: float, anchor: str) -> None:
        begin, end = (self.middle[self.row[state]] for state in arrow)
        self.draw_arrow(f"M {side} {begin} C {x} {begin}, {x} {end}, {side + (2 if anchor == 'start' else -2)} {end}")
        self.write(x, (begin + end) / 2, self.labels[arrow], anchor)

    def draw_arrow(self, path: str) -> None:
        self.shapes.append(f'<path d="{path}" fill="none" stroke="currentColor" marker-end="url(#arrow-head)"/>')

    def write(self, x: float, y: float, lines: list[str], anchor: str) -> None:
        first = y - LINE * (len(lines) - 1) / 2 + 4
        for number, line in enumerate(lines):
            # Blanks at the start of a line mark that it continues the one above; SVG would swallow them.
            shown = html.escape(line.replace(" ", "\u00a0"))
            self.shapes.append(f'<text x="{x:.0f}" y="{first + LINE * number:.0f}" text-anchor="{anchor}">{shown}</text>')


def grid(head: list[str], rows: list[list[str]]) -> nodes.table:
    """A docutils table of plain cells."""
    group = nodes.tgroup(cols=len(head))
    group += [nodes.colspec(colwidth=1) for _ in head]

    def cells(row: list[str]) -> nodes.row:
        return nodes.row("", *(nodes.entry("", nodes.paragraph(text=cell)) for cell in row))

    group += nodes.thead("", cells(head))
    group += nodes.tbody("", *(cells(row) for row in rows))
    return nodes.table("", group)


class StateDiagram(Directive):
    """The picture and the table of one machine."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Callable[[str], Any]] | None] = {"start": directives.unchanged, "no-table": directives.flag}

    def run(self) -> list[nodes.Node]:
        try:
            table = load(self.arguments[0])
            picture = Picture(table, self.options.get("start")).draw(f"States and steps of {self.arguments[0]}")
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise self.error(f"{self.arguments[0]} cannot be drawn: {error}") from error
        found: list[nodes.Node] = [nodes.raw("", f"<figure>{picture}</figure>", format="html")]
        if "no-table" not in self.options:
            states = states_of(table, self.options.get("start"))
            steps = dict.fromkeys(step for _, step in table)
            rows = [[step, *(table.get((state, step), "–") for state in states)] for step in steps]
            found.append(grid(["step", *(f"in {state}" for state in states)], rows))
        return found


class RowsOf(Directive):
    """A mapping as a table: the parts of each key, then the value. The options name the columns."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Callable[[str], Any]] | None] = {"columns": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        module, _, name = self.arguments[0].partition(":")
        try:
            table = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise self.error(f"{self.arguments[0]} cannot be shown: {error}") from error
        rows = [[*map(text, key if isinstance(key, tuple) else (key,)), text(value)] for key, value in table.items()]
        head = [column.strip() for column in self.options["columns"].split(",")]
        if any(len(row) != len(head) for row in rows):
            raise self.error(f"{self.arguments[0]}: expected {len(head)} columns, got {sorted({len(row) for row in rows})}")
        return [grid(head, rows)]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("state-diagram", StateDiagram)
    app.add_directive("rows-of", RowsOf)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
