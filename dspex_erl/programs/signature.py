"""Signatures: the named and typed fields that a program takes and gives, and how they are written.

A signature is written as a text, ``"question, context: list[str] -> answer: Literal['yes', 'no'], score: float"``, or as a map::

    {"inputs": [{"name": "question", "type": "str", "desc": "what is asked"}, "context: list[str]"], "outputs": {"answer": "str"}}

Each side is a list of maps or texts, a map from names to types, or a text. ``input_fields`` and ``output_fields`` mean the same as
``inputs`` and ``outputs``. A field without a type is a ``str``. The types stand in :mod:`dspex_erl.programs.field_types`, and their maps
in :mod:`dspex_erl.programs.field_maps`.

A signature is immutable and hashable. Reading one costs time linear in what was written, which is limited.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from dspex_erl.errors import BadSignature
from dspex_erl.programs.field_maps import described_fields, read_described
from dspex_erl.programs.field_types import (
    MAX_FIELDS,
    MAX_TEXT,
    STR,
    FieldType,
    Reader,
    is_pydantic_name,
    refuse,
    refuse_surrogates,
)

__all__ = ["MAX_INSTRUCTIONS", "RESERVED", "RESERVED_BY_MODULE", "Field", "Signature", "parse_signature"]

MAX_INSTRUCTIONS: Final = 100_000
"""Characters. The instructions are sent with every request."""

RESERVED: Final = frozenset(
    {
        # What a class of signatures has itself.
        *("signature", "instructions", "fields", "input_fields", "output_fields"),
        # Arguments of functions that are given the inputs too.
        *("new_signature", "lm", "demos", "config", "self", "instance", "completions"),
    }
)
"""Names that no field can have, whatever the module, beside those that Pydantic keeps for itself."""

RESERVED_BY_MODULE: Final[Mapping[str, frozenset[str]]] = {
    "chain_of_thought": frozenset({"reasoning"}),
    "react": frozenset({"trajectory", "max_iters", "reasoning"}),
    "react_v2": frozenset({"history", "tools", "termination_reason"}),
    "multi_chain_comparison": frozenset({"completions", "rationale", "reasoning"}),
    "program_of_thought": frozenset({"interpreter"}),
    "code_act": frozenset({"interpreter", "trajectory", "max_iters"}),
    "rlm": frozenset({"trajectory"}),
}
"""For each module, names of fields that it adds or takes itself."""

_SIDES: Final = (("inputs", "input_fields"), ("outputs", "output_fields"))
_KEYS: Final = ("inputs", "outputs", "input_fields", "output_fields", "instructions")


@dataclass(frozen=True)
class Field:
    """One input or output."""

    name: str
    type: FieldType = STR
    desc: str = ""

    @property
    def text(self) -> str:
        """``name: type``, or the name alone for a ``str``."""
        return self.name if self.type == STR else f"{self.name}: {self.type.text}"


@dataclass(frozen=True)
class Signature:
    """A checked signature. Made by :func:`parse_signature`; equal ones make equal programs."""

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    instructions: str = ""

    @property
    def text(self) -> str:
        """The canonical text. It says everything but the instructions and the descriptions of the fields.

        >>> parse_signature("q:String->answers:List[int]").text
        'q -> answers: list[int]'
        """
        return " -> ".join(", ".join(field.text for field in side) for side in (self.inputs, self.outputs))

    def with_instructions(self, instructions: str) -> Signature:
        """The same fields with other instructions. Raises :class:`BadSignature` for what cannot be sent to a model."""
        return replace(self, instructions=_instructions(instructions))

    def to_plain(self) -> dict[str, Any]:
        """Plain terms, always of the same form, from which :func:`parse_signature` makes an equal signature."""
        return {
            "inputs": [_plain_field(field) for field in self.inputs],
            "outputs": [_plain_field(field) for field in self.outputs],
            "instructions": self.instructions,
        }

    @classmethod
    def from_plain(cls, plain: Any) -> Signature:
        """The signature that :meth:`to_plain` was asked of. Raises :class:`BadSignature` for anything else."""
        if not isinstance(plain, Mapping):
            refuse(f"expected a map of inputs and outputs, got {type(plain).__name__}", "")
        return parse_signature(plain)

    def __str__(self) -> str:
        return self.text


def _plain_field(field: Field) -> dict[str, Any]:
    return {"name": field.name, "type": field.type.text, "desc": field.desc}


def parse_signature(given: Any) -> Signature:
    """The signature that a text or a map describes. Raises :class:`BadSignature`, which says where and what was expected.

    >>> parse_signature({"inputs": ["question"], "outputs": [{"name": "score", "type": "number", "desc": "0 to 1"}]}).text
    'question -> score: float'
    """
    if isinstance(given, str):
        signature = _from_text(given)
    elif isinstance(given, Mapping):
        signature = _from_map(given)
    else:
        refuse(f"expected a signature's text or a map of inputs and outputs, got {type(given).__name__}", "")
    _check(signature)
    return signature


def _from_text(text: str) -> Signature:
    reader = Reader(text)
    inputs = _read_side(reader, "input")
    if not reader.accept("->"):
        reader.fault("',' or '->'")
    outputs = _read_side(reader, "output")
    reader.end("',' or the end")
    return Signature(inputs, outputs)


def _read_side(reader: Reader, side: str) -> tuple[Field, ...]:
    if reader.kind == "end" or reader.text == "->":
        reader.fault(f"at least one {side}")
    fields: list[Field] = []
    outside = reader.where
    while True:
        name = reader.name()
        reader.where = name
        fields.append(Field(name, reader.valued_type() if reader.accept(":") else STR))
        reader.where = outside
        if not reader.accept(","):
            return tuple(fields)
        if len(fields) == MAX_FIELDS:
            reader.fault(f"at most {MAX_FIELDS} {side}s")


def _from_map(given: Mapping[Any, Any]) -> Signature:
    for key in given:
        if key not in _KEYS:
            shown = repr(key[:40]) if isinstance(key, str) else type(key).__name__
            refuse(f"expected a map of {' and '.join(names[0] for names in _SIDES)}, got the key {shown}", "")
    sides = []
    for names in _SIDES:
        present = [name for name in names if given.get(name) is not None]
        if len(present) != 1:
            refuse(f"expected either {' or '.join(names)}, got {'both' if present else 'neither'}", "")
        sides.append(_described_side(given[present[0]], present[0]))
    return Signature(sides[0], sides[1], _instructions(given.get("instructions") or ""))


def _described_side(given: Any, side: str) -> tuple[Field, ...]:
    if isinstance(given, str):
        reader = Reader(given, side)
        fields = _read_side(reader, "field")
        reader.end("',' or the end")
        return fields
    return tuple(Field(name, *read_described(described, name)) for name, described in described_fields(given, side))


def _instructions(given: Any) -> str:
    if not isinstance(given, str) or len(given) > MAX_INSTRUCTIONS:
        got = f"{len(given)}" if isinstance(given, str) else type(given).__name__
        raise BadSignature(f"expected a text of at most {MAX_INSTRUCTIONS} characters, got {got}, at instructions")
    refuse_surrogates(given, "instructions")
    return given


def _check(signature: Signature) -> None:
    """What holds for every signature, however it was written."""
    for side, fields in (("input", signature.inputs), ("output", signature.outputs)):
        if not fields:
            refuse(f"expected at least one {side}, got none", "")
    seen: set[str] = set()
    for field in (*signature.inputs, *signature.outputs):
        if field.name in RESERVED or is_pydantic_name(field.name):
            refuse(f"expected a name that is not reserved, got {field.name!r}", field.name)
        if field.name in seen:
            refuse(f"expected names that differ, got {field.name!r} twice", field.name)
        seen.add(field.name)
    _check_places(signature)
    if len(signature.text) > MAX_TEXT:
        refuse(f"expected a signature of at most {MAX_TEXT} characters, got {len(signature.text)}", "")


def _check_places(signature: Signature) -> None:
    """Images and histories are things that a model is shown. DSPy finds a history only if it is an input by itself, and only one."""
    for field in signature.outputs:
        for kind in ("image", "history"):
            if field.type.contains(kind):
                refuse(f"expected a type that a model can write, got {kind.capitalize()}", field.name)
    histories = 0
    for field in signature.inputs:
        histories += field.type.contains("history")
        if field.type.contains("history") and (field.type.kind != "history" or histories > 1):
            refuse("expected one History, as the whole type of one input, got another", field.name)
