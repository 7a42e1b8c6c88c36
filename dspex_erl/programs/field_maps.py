"""Types and fields that are described by maps, as a caller sends them who has no text at hand.

A type is a text, as in :mod:`dspex_erl.programs.field_types`, or a map like JSON Schema's::

    {"type": "array", "items": {"type": "object", "fields": {"name": {"type": "string", "desc": "full name"}, "age": "int | None"}}}

with ``type`` (also a list of alternatives), ``items`` of a list, ``fields`` or ``properties`` of an object, ``required`` among them (all, if
it is not there), ``enum`` and ``nullable``. Fields come in a map from names, or in a list of maps with a ``name`` and of texts such as
``"name: type"``. What is not known is refused, not ignored. Costs time linear in the description.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dspex_erl.programs.field_types import (
    A_NAME,
    A_TYPE,
    ALIASES,
    GENERICS,
    MAX_CHOICES,
    MAX_DEPTH,
    MAX_DESCRIPTION,
    MAX_FIELDS,
    MAX_NAME,
    NAME,
    NONE,
    STR,
    FieldType,
    ObjectField,
    Reader,
    brief,
    check_object_name,
    kind_of,
    list_of,
    literal_of,
    lookup_name,
    object_of,
    parse_type,
    refuse,
    refuse_surrogates,
    short_enough,
    union_of,
)

__all__ = ["TYPE_KEYS", "described_fields", "read_described", "read_type"]

TYPE_KEYS: Final = ("type", "items", "fields", "properties", "required", "enum", "nullable")
"""The keys of a map that describes a type."""


def read_type(given: Any, where: str, depth: int = MAX_DEPTH) -> FieldType:
    """The type that a plain term describes: a text, or a map with the keys :data:`TYPE_KEYS`. Raises :class:`BadSignature`.

    >>> read_type({"type": "array", "items": {"type": "object", "fields": {"name": "str"}}}, "people").text
    'list[{name: str}]'
    """
    if isinstance(given, str):
        return parse_type(given, where, depth)
    if not isinstance(given, Mapping):
        refuse(f"expected {A_TYPE} or a map that describes one, got {kind_of(given)}", where)
    if depth <= 0:
        refuse(f"expected types at most {MAX_DEPTH} deep, got deeper ones", where)
    for key in given:
        if key not in TYPE_KEYS:
            refuse(f"expected the keys {', '.join(TYPE_KEYS)}, got {brief(key)}", where)
    nullable = given.get("nullable")
    if nullable not in (None, True, False):
        refuse(f"expected a boolean at nullable, got {kind_of(nullable)}", where)
    kind = _described_choice(given, where) if "enum" in given else _described(given, where, depth)
    return short_enough(union_of([kind, NONE]) if nullable else kind, where)


def _described(given: Mapping[str, Any], where: str, depth: int) -> FieldType:
    named = given.get("type")
    alternatives = named if isinstance(named, (list, tuple)) else (named,)
    if not 0 < len(alternatives) <= MAX_CHOICES:
        refuse(f"expected a type, or 1 to {MAX_CHOICES} of them, got {len(alternatives)}", where)
    parts = {key: given[key] for key in ("items", "fields", "properties") if given.get(key) is not None}
    members: list[FieldType] = []
    used: set[str] = set()
    for one in alternatives:
        part = _part_of(one, parts)
        if part in used:
            # Each part is read once, however many alternatives mean it: nested ones would multiply.
            continue
        if part:
            used.add(part)
            members.append(_described_part(part, given, where, depth))
        elif _is_none(one):
            members.append(NONE)
        else:
            members.append(STR if one is None else read_type(one, where, depth - isinstance(one, Mapping)))
    for part in parts:
        if part not in used:
            refuse(f"expected {part} with a type that has them, got {brief(named)}", where)
    kind = union_of(members)
    if kind == NONE:
        refuse(f"expected {A_TYPE}, got None alone", where)
    return kind


def _part_of(named: Any, parts: Mapping[str, Any]) -> str:
    """Which of ``parts`` says more of the type that is called ``named``; an empty text if none does."""
    if named is None:
        return next(iter(parts), "")
    base = GENERICS.get(lookup_name(named)) if isinstance(named, str) else None
    wanted = {"list": ("items",), "dict": ("fields", "properties")}.get(base or "", ())
    return next((part for part in wanted if part in parts), "")


def _described_part(part: str, given: Mapping[str, Any], where: str, depth: int) -> FieldType:
    if part == "items":
        return list_of(read_type(given[part], where, depth - 1))
    return _described_object(given[part], given.get("required"), where, depth)


def _is_none(named: Any) -> bool:
    return isinstance(named, str) and ALIASES.get(named.lower()) == NONE


def _described_choice(given: Mapping[str, Any], where: str) -> FieldType:
    choices = given["enum"]
    if not isinstance(choices, (list, tuple)) or not 0 < len(choices) <= MAX_CHOICES:
        refuse(f"expected a list of 1 to {MAX_CHOICES} values at enum, got {kind_of(choices)}", where)
    for choice in choices:
        if not isinstance(choice, (str, int, bool, type(None))) or (type(choice) is int and abs(choice) >= 10**18):
            refuse(f"expected texts, whole numbers of at most 18 digits and booleans at enum, got {brief(choice)}", where)
        if isinstance(choice, str):
            refuse_surrogates(choice, where)
    kind = literal_of(list(choices))
    if kind == NONE:
        refuse(f"expected {A_TYPE}, got None alone", where)
    return kind


def _described_object(fields: Any, required: Any, where: str, depth: int) -> FieldType:
    if required is not None and not isinstance(required, (list, tuple)):
        refuse(f"expected a list of names at required, got {kind_of(required)}", where)
    found: list[ObjectField] = []
    for name, given in described_fields(fields, where):
        check_object_name(name, [entry.name for entry in found], where)
        kind, desc = read_described(given, f"{where}.{name}", depth - 1)
        if required is not None and name not in required:
            kind = union_of([kind, NONE])
        found.append(ObjectField(name, kind, desc))
    if not found:
        refuse("expected at least one field of an object, got none", where)
    return object_of(found)


def described_fields(given: Any, where: str) -> list[tuple[str, Any]]:
    """Names and descriptions out of a map from the one to the other, or a list of maps that each have a ``name``, or of texts."""
    if isinstance(given, Mapping):
        pairs = list(given.items())
    elif isinstance(given, (list, tuple)):
        pairs = [_named(entry, where) for entry in given]
    else:
        refuse(f"expected a list of fields or a map from names to types, got {kind_of(given)}", where)
    if len(pairs) > MAX_FIELDS:
        refuse(f"expected at most {MAX_FIELDS} fields, got {len(pairs)}", where)
    for name, _ in pairs:
        if not isinstance(name, str) or len(name) > MAX_NAME or not NAME.fullmatch(name):
            refuse(f"expected {A_NAME}, got {brief(name)}", where)
    return pairs


def _named(entry: Any, where: str) -> tuple[Any, Any]:
    if isinstance(entry, str):
        reader = Reader(entry, where)
        name = reader.name()
        kind = reader.valued_type() if reader.accept(":") else STR
        reader.end()
        return name, kind
    if not isinstance(entry, Mapping) or "name" not in entry:
        refuse(f"expected a field as a text or as a map with a name, got {kind_of(entry)}", where)
    return entry["name"], {key: value for key, value in entry.items() if key != "name"}


def read_described(given: Any, where: str, depth: int = MAX_DEPTH) -> tuple[FieldType, str]:
    """The type and the description of a field, out of a type's text or a map. The map may say ``desc`` or ``description`` too."""
    if isinstance(given, FieldType):
        return given, ""
    if not isinstance(given, Mapping):
        return read_type(given, where, depth), ""
    rest = dict(given)
    texts = [rest.pop(key) for key in ("desc", "description") if key in rest]
    desc = next((text for text in texts if text is not None), "")
    if not isinstance(desc, str) or len(desc) > MAX_DESCRIPTION:
        got = f"{len(desc)}" if isinstance(desc, str) else kind_of(desc)
        refuse(f"expected a description of at most {MAX_DESCRIPTION} characters, got {got}", where)
    refuse_surrogates(desc, where)
    return read_type(rest, where, depth), desc
