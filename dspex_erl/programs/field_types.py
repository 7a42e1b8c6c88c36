"""The types that a field of a signature can have: a list of our own, and the parser of their texts.

What a caller writes is read as text and looked up in the tables below. It is never evaluated, and no name of it is ever imported.

======================================  ==================================  ====================================================
written (case does not matter)          canonical                           a plain value of it
======================================  ==================================  ====================================================
``str string text``                     ``str``                             text
``int integer``                         ``int``                             whole number, and never a boolean
``float number double``                 ``float``                           float, or a whole number
``bool boolean``                        ``bool``                            boolean
``any``                                 ``any``                             anything plain, also nothing
``list[T] array[T] sequence[T]``,       ``list[T]``                         list
``tuple[T, ...]``
``list``, ``tuple``                     ``list[any]``                       list
``dict[K, V] map[K, V] mapping[K, V]``  ``dict[K, V]``                      map; ``K`` is ``str`` or ``int``
``dict map mapping object``             ``dict[str, any]``                  map
``tuple[A, B]``                         ``tuple[A, B]``                     list of as many items
``Optional[T]``, ``T | None``           ``T | None``                        one of ``T``, or nothing; such a field may be left out
``Union[A, B]``, ``A | B``              ``A | B``                           one of either
``Literal['a', 3, True]``               ``Literal['a', 3, True]``           one of these
``{name: str 'full name', age: int}``   the same                            map with these keys; the texts describe them to the model
``date``, ``datetime``, ``time``        the same                            text in ISO 8601
``Decimal``                             ``Decimal``                         text of digits, or a number
``Image``                               ``Image``                           URL, ``data:`` URL, ``{url: …}``, or the file's bytes; inputs only
``History``                             ``History``                         list of maps from fields to values; one input, by itself
``Code['python']``                      ``Code['python']``                  text
======================================  ==================================  ====================================================

``typing.``, ``datetime.``, ``decimal.`` and ``dspy.`` may stand before what those modules have. Types that are described by maps are
read in :mod:`dspex_erl.programs.field_maps`.

The canonical text says all there is to know of a type, so two types are equal if their texts are. Reading costs time and memory linear in
the text, which is limited, as is the depth.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

from dspex_erl.errors import BadSignature

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "MAX_DEPTH",
    "MAX_FIELDS",
    "MAX_NAME",
    "MAX_TEXT",
    "FieldType",
    "ObjectField",
    "Reader",
    "brief",
    "kind_of",
    "parse_type",
    "refuse",
    "refuse_surrogates",
]

MAX_TEXT: Final = 16_384
"""How many characters the text of a signature, or of a type, may have."""

MAX_DEPTH: Final = 16
"""How deep types may nest."""

MAX_FIELDS: Final = 64
"""How many fields an object may have, or one side of a signature."""

MAX_NAME: Final = 64
"""How many characters the name of a field may have."""

MAX_DESCRIPTION: Final = 4096
"""How many characters may describe one field to the model."""

MAX_CHOICES: Final = 256
"""How many values a ``Literal``, or members a union, may have."""

Choice: TypeAlias = str | int


@dataclass(frozen=True)
class FieldType:
    """A type. ``text`` is canonical, and all that equality looks at; the rest says the same in a form for programs.

    ``kind`` is ``str int float bool any none date datetime time decimal image history code list dict tuple union literal object``.
    ``args`` are the parts of a list (one), a dict (key and value), a tuple and a union; ``choices`` are a literal's values, and the
    language of code; ``fields`` are those of an object.
    """

    text: str
    kind: str = field(compare=False)
    args: tuple[FieldType, ...] = field(default=(), compare=False)
    choices: tuple[Choice, ...] = field(default=(), compare=False)
    fields: tuple[ObjectField, ...] = field(default=(), compare=False)

    @property
    def optional(self) -> bool:
        """Whether nothing at all is a value of it, so that a field of this type may be left out."""
        return self.kind == "union" and self.args[-1].kind == "none"

    def contains(self, kind: str) -> bool:
        """Whether this type, or any part of it, is of ``kind``."""
        parts = (*self.args, *(entry.type for entry in self.fields))
        return self.kind == kind or any(part.contains(kind) for part in parts)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class ObjectField:
    """One key of an object type."""

    name: str
    type: FieldType
    desc: str = ""


_SIMPLE: Final = {
    text: FieldType(text, text.lower())
    for text in ("str", "int", "float", "bool", "any", "None", "date", "datetime", "time", "Decimal", "Image", "History")
}
STR: Final = _SIMPLE["str"]
ANY: Final = _SIMPLE["any"]
NONE: Final = _SIMPLE["None"]

ALIASES: Final = {
    **{text.lower(): simple for text, simple in _SIMPLE.items()},
    **dict.fromkeys(("string", "text"), STR),
    "integer": _SIMPLE["int"],
    **dict.fromkeys(("number", "double"), _SIMPLE["float"]),
    "boolean": _SIMPLE["bool"],
    **dict.fromkeys(("null", "nil", "nonetype"), NONE),
}
GENERICS: Final = {
    **dict.fromkeys(("list", "array", "sequence"), "list"),
    **dict.fromkeys(("dict", "map", "mapping", "object"), "dict"),
    **{name: name for name in ("tuple", "optional", "union", "literal", "code")},
}
# What may stand before which names, so that no other dotted name is one of a type.
_MODULES: Final = {
    "typing": frozenset({"any", "list", "sequence", "dict", "mapping", "tuple", "optional", "union", "literal"}),
    "datetime": frozenset({"date", "datetime", "time"}),
    "decimal": frozenset({"decimal"}),
    "dspy": frozenset({"image", "history", "code"}),
}

NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_LANGUAGE: Final = re.compile(r"[A-Za-z0-9_+#.-]{1,32}")
A_NAME: Final = f"a name of at most {MAX_NAME} letters, digits and underscores that begins with a letter"
A_TYPE: Final = "a type (str, int, …)"


# -- making types ----------------------------------------------------------------------------------------------------------------


def list_of(item: FieldType) -> FieldType:
    return FieldType(f"list[{item.text}]", "list", (item,))


def dict_of(key: FieldType, value: FieldType) -> FieldType:
    return FieldType(f"dict[{key.text}, {value.text}]", "dict", (key, value))


def tuple_of(items: list[FieldType]) -> FieldType:
    return FieldType(f"tuple[{', '.join(item.text for item in items)}]", "tuple", tuple(items))


def union_of(members: list[FieldType]) -> FieldType:
    """The members flat, each once, and ``None`` last. A union with ``any`` is ``any``."""
    flat: dict[FieldType, None] = {}
    for member in members:
        flat.update(dict.fromkeys(member.args if member.kind == "union" else (member,)))
    if ANY in flat:
        return ANY
    if NONE in flat and len(flat) > 1:
        del flat[NONE]
        flat[NONE] = None
    if len(flat) == 1:
        return next(iter(flat))
    return FieldType(" | ".join(member.text for member in flat), "union", tuple(flat))


def literal_of(choices: list[Choice | None]) -> FieldType:
    # By type too: True and 1 are the same key, and not the same choice.
    values = list({(type(choice), choice): choice for choice in choices if choice is not None}.values())
    if not values:
        return NONE
    text = ", ".join(_quoted(value) if isinstance(value, str) else repr(value) for value in values)
    literal = FieldType(f"Literal[{text}]", "literal", choices=tuple(values))
    return literal if len(choices) == sum(choice is not None for choice in choices) else union_of([literal, NONE])


def object_of(fields: list[ObjectField]) -> FieldType:
    parts = (f"{entry.name}: {entry.type.text}{' ' + _quoted(entry.desc) if entry.desc else ''}" for entry in fields)
    return FieldType(f"{{{', '.join(parts)}}}", "object", fields=tuple(fields))


def code_of(language: str) -> FieldType:
    return FieldType(f"Code[{_quoted(language)}]", "code", choices=(language,))


_ESCAPES: Final = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "r": "\r", "t": "\t"}
_ESCAPED: Final = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _quoted(text: str) -> str:
    return "'" + "".join(_ESCAPED.get(character, character) for character in text) + "'"


# -- reading texts ---------------------------------------------------------------------------------------------------------------

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_TOKEN: Final = re.compile(
    r"(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)"
    r"|(?P<number>-?[0-9]{1,18}(?![0-9A-Za-z_.]))"
    r"|(?P<string>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<mark>->|\.\.\.|[\[\]{}:,|])",
    re.DOTALL,
)


class Reader:
    """Reads a text from left to right, one token ahead. Every fault is a :class:`BadSignature` that names field and character."""

    def __init__(self, text: str, where: str = "") -> None:
        if len(text) > MAX_TEXT:
            raise BadSignature(f"expected at most {MAX_TEXT} characters, got {len(text)}{_at(where)}")
        refuse_surrogates(text, where)
        self.where = where
        self._whole = text
        self._end = 0
        self.kind = ""
        self.text = ""
        self._start = 0
        self.advance()

    def advance(self) -> str:
        """Goes on by one token and returns the one that was passed."""
        passed = self.text
        self._start = _SPACE.match(self._whole, self._end).end()  # type: ignore[union-attr]
        found = _TOKEN.match(self._whole, self._start)
        if found is not None:
            self.kind, self.text, self._end = str(found.lastgroup), found.group(), found.end()
        elif self._start == len(self._whole):
            self.kind, self.text, self._end = "end", "", self._start
        else:
            # Whatever comes next will find that this is not what it wants.
            self.kind, self.text, self._end = "unknown", self._whole[self._start :], len(self._whole)
        return passed

    def fault(self, expected: str) -> NoReturn:
        """Raises the error that the token at hand is not what is ``expected``."""
        got = "the end" if self.kind == "end" else brief(self.text)
        raise BadSignature(f"expected {expected}, got {got}{_at(self.where, self._start + 1)}")

    def accept(self, mark: str) -> bool:
        """Passes ``mark`` if it comes next."""
        if self.kind != "mark" or self.text != mark:
            return False
        self.advance()
        return True

    def expect(self, mark: str) -> None:
        """Passes ``mark``, which must come next."""
        if not self.accept(mark):
            self.fault(repr(mark))

    def end(self, expected: str = "the end") -> None:
        """Checks that nothing is left."""
        if self.kind != "end":
            self.fault(expected)

    def name(self) -> str:
        """Passes the name of a field and returns it."""
        if self.kind != "name" or len(self.text) > MAX_NAME or not NAME.fullmatch(self.text):
            self.fault(A_NAME)
        return self.advance()

    def type(self, depth: int = MAX_DEPTH) -> FieldType:
        """Passes a type and returns it. ``None`` alone is none."""
        members = [self._member(depth)]
        while self.accept("|"):
            members.append(self._member(depth))
            if len(members) > MAX_CHOICES:
                self.fault(f"at most {MAX_CHOICES} members of a union")
        return union_of(members)

    def _member(self, depth: int) -> FieldType:
        if depth <= 0:
            self.fault(f"types at most {MAX_DEPTH} deep")
        if self.kind == "mark" and self.text == "{":
            return self._object(depth)
        name = lookup_name(self.text) if self.kind == "name" else ""
        if name in ALIASES:
            self.advance()
            return ALIASES[name]
        if name not in GENERICS:
            self.fault(A_TYPE)
        self.advance()
        return _READERS[GENERICS[name]](self, depth - 1)

    def _object(self, depth: int) -> FieldType:
        self.expect("{")
        fields: list[ObjectField] = []
        while True:
            name = self.name()
            check_object_name(name, [entry.name for entry in fields], self.where)
            self.expect(":")
            kind = self.valued_type(depth - 1)
            fields.append(ObjectField(name, kind, self.string(MAX_DESCRIPTION) if self.kind == "string" else ""))
            if not self.accept(","):
                break
            if len(fields) == MAX_FIELDS:
                self.fault(f"at most {MAX_FIELDS} fields of an object")
        self.expect("}")
        return object_of(fields)

    def valued_type(self, depth: int = MAX_DEPTH) -> FieldType:
        """Passes the type of a field: any but ``None`` alone."""
        start = self._start + 1
        kind = self.type(depth)
        if kind == NONE:
            raise BadSignature(f"expected {A_TYPE}, got None alone{_at(self.where, start)}")
        return kind

    def types(self, depth: int) -> list[FieldType]:
        """Passes types up to a closing bracket."""
        found = [self.type(depth)]
        while self.accept(","):
            found.append(self.type(depth))
            if len(found) > MAX_CHOICES:
                self.fault(f"at most {MAX_CHOICES} parts of a type")
        self.expect("]")
        return found

    def string(self, limit: int) -> str:
        """Passes a text in quotes and returns what it says."""
        parts = []
        pieces = iter(re.split(r"\\(.)", self.text[1:-1], flags=re.DOTALL))
        for piece in pieces:
            parts.append(piece)
            escape = next(pieces, None)
            if escape is not None:
                if escape not in _ESCAPES:
                    self.fault("one of the escapes " + " ".join("\\" + known for known in _ESCAPES))
                parts.append(_ESCAPES[escape])
        text = "".join(parts)
        if len(text) > limit:
            self.fault(f"a text of at most {limit} characters")
        self.advance()
        return text


def lookup_name(token: str) -> str:
    """The name to look a type up by: in small letters, and without the module that may stand before it."""
    module, dot, name = token.lower().rpartition(".")
    return name if not dot or name in _MODULES.get(module, ()) else token


def _read_list(reader: Reader, depth: int) -> FieldType:
    if not reader.accept("["):
        return list_of(ANY)
    item = reader.type(depth)
    reader.expect("]")
    return list_of(item)


def _read_dict(reader: Reader, depth: int) -> FieldType:
    if not reader.accept("["):
        return dict_of(STR, ANY)
    if reader.kind != "name" or ALIASES.get(reader.text.lower(), ANY).kind not in ("str", "int"):
        reader.fault("str or int, for the keys of a map")
    key = ALIASES[reader.advance().lower()]
    reader.expect(",")
    value = reader.type(depth)
    reader.expect("]")
    return dict_of(key, value)


def _read_tuple(reader: Reader, depth: int) -> FieldType:
    if not reader.accept("["):
        return list_of(ANY)
    items = [reader.type(depth)]
    while reader.accept(","):
        if len(items) == 1 and reader.accept("..."):
            reader.expect("]")
            return list_of(items[0])
        if len(items) == MAX_FIELDS:
            reader.fault(f"at most {MAX_FIELDS} items of a tuple")
        items.append(reader.type(depth))
    reader.expect("]")
    return tuple_of(items)


def _read_optional(reader: Reader, depth: int) -> FieldType:
    reader.expect("[")
    kind = reader.type(depth)
    reader.expect("]")
    return union_of([kind, NONE])


def _read_union(reader: Reader, depth: int) -> FieldType:
    reader.expect("[")
    return union_of(reader.types(depth))


def _read_literal(reader: Reader, depth: int) -> FieldType:
    reader.expect("[")
    choices: list[Choice | None] = [_read_choice(reader)]
    while reader.accept(","):
        choices.append(_read_choice(reader))
        if len(choices) > MAX_CHOICES:
            reader.fault(f"at most {MAX_CHOICES} values of a Literal")
    reader.expect("]")
    return literal_of(choices)


_CONSTANTS: Final = {"true": True, "false": False, "none": None, "null": None, "nil": None}


def _read_choice(reader: Reader) -> Choice | None:
    if reader.kind == "string":
        return reader.string(MAX_TEXT)
    if reader.kind == "number":
        return int(reader.advance())
    if reader.kind == "name" and reader.text.lower() in _CONSTANTS:
        return _CONSTANTS[reader.advance().lower()]
    return reader.fault("a text in quotes, a whole number of at most 18 digits, True, False or None")


def _read_code(reader: Reader, depth: int) -> FieldType:
    language = "python"
    if reader.accept("["):
        if reader.kind not in ("string", "name") or not _LANGUAGE.fullmatch(reader.text.strip("'\"")):
            reader.fault("the name of a language in quotes")
        language = reader.advance().strip("'\"")
        reader.expect("]")
    return code_of(language)


_READERS: Final[dict[str, Callable[[Reader, int], FieldType]]] = {
    "list": _read_list,
    "dict": _read_dict,
    "tuple": _read_tuple,
    "optional": _read_optional,
    "union": _read_union,
    "literal": _read_literal,
    "code": _read_code,
}


def parse_type(text: str, where: str = "", depth: int = MAX_DEPTH) -> FieldType:
    """The type that ``text`` names. ``where`` is the field, for the error's sentence. Raises :class:`BadSignature`.

    >>> parse_type("Optional[List[string]]").text
    'list[str] | None'
    """
    reader = Reader(text, where)
    kind = reader.valued_type(depth)
    reader.end()
    return short_enough(kind, where)


# -- checks and sentences --------------------------------------------------------------------------------------------------------

# Pydantic, which makes classes of objects and signatures, has these names for itself.
_OF_PYDANTIC: Final = frozenset(
    {
        *(
            "model_computed_fields",
            "model_config",
            "model_construct",
            "model_copy",
            "model_extra",
            "model_fields",
            "model_fields_set",
        ),
        *("model_json_schema", "model_parametrized_name", "model_post_init", "model_rebuild"),
    }
)
_PREFIXES_OF_PYDANTIC: Final = ("model_dump", "model_validate")


def is_pydantic_name(name: str) -> bool:
    """Whether a class made by Pydantic cannot have a field of that name."""
    return name in _OF_PYDANTIC or name.startswith(_PREFIXES_OF_PYDANTIC)


def check_object_name(name: str, others: list[str], where: str) -> None:
    """Refuses a name of an object's field that is reserved, or that is there already."""
    if is_pydantic_name(name):
        refuse(f"expected a name that is not reserved, got {name!r}", where)
    if name in others:
        refuse(f"expected names that differ, got {name!r} twice", where)


def short_enough(kind: FieldType, where: str) -> FieldType:
    """``kind``, if its canonical text is not longer than a text may be."""
    if len(kind.text) > MAX_TEXT:
        refuse(f"expected a type of at most {MAX_TEXT} characters, got {len(kind.text)}", where)
    return kind


def refuse_surrogates(text: str, where: str) -> None:
    """Refuses half a character: it is no text for any model, nor for Erlang."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            refuse("expected text in Unicode, got a lone surrogate", where)


def refuse(sentence: str, where: str) -> NoReturn:
    """Raises :class:`BadSignature` with ``sentence`` and the field's name."""
    raise BadSignature(sentence + _at(where))


def _at(where: str, character: int = 0) -> str:
    place = f"in field {where}" if where else ""
    if character:
        place += f"{' ' if place else ''}at character {character}"
    return f", {place}" if place else ""


def brief(value: Any) -> str:
    """A short text or number as it is, and of anything else the type: nobody's data belongs into an error."""
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else value[:40] + "…")
    if isinstance(value, int) and value.bit_length() <= 64:
        return repr(value)
    return kind_of(value)


def kind_of(value: Any) -> str:
    """The type of a value that is not as expected, in a caller's words."""
    if value is None:
        return "nothing"
    return "bytes that are not UTF-8" if isinstance(value, bytes) else type(value).__name__[:64]
