"""Values of fields: inputs checked before a program sees them, outputs checked and made plain before a caller does.

Nothing is turned into what it is not: ``"3"`` is no ``int``, and ``True`` is none either. What is allowed beside the exact type: a whole
number for a ``float``, and for dates, objects, images and the like the plain values in the table of
:mod:`dspex_erl.programs.field_types`. A wrong value is one sentence: expected X, got Y, at ``inputs.context[3]``.

Each value is looked at once, so both ways cost time linear in it. There is no DSPy here: what of DSPy comes out of a program is
recognised only if DSPy was imported.
"""

from __future__ import annotations

import base64
import datetime
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NoReturn
from uuid import UUID

from dspex_erl.errors import BadInput, EncodeError, LMParse
from dspex_erl.programs.field_types import FieldType, brief, kind_of

if TYPE_CHECKING:
    from dspex_erl.programs.signature import Field, Signature

__all__ = ["MAX_DEPTH", "check_inputs", "check_some", "plain_result"]

MAX_DEPTH: Final = 100
"""How deep values may nest. A prompt holds them as JSON, and its writers have limits of their own that are worse met."""

MAX_BITS: Final = 13_000
"""The size of a whole number. Python refuses to write larger ones in decimal digits, as a prompt needs them."""


class _Mismatch(Exception):
    """A value that is not of its type. ``steps`` lead to it, innermost first, and grow while the error rises."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(expected, got)
        self.expected = expected
        self.got = got
        self.steps: list[str] = []

    def place(self, root: str) -> str:
        return root + "".join(reversed(self.steps))


class _NoCounterpart(_Mismatch):
    """An object of a class that stands for nothing plain: a fault of the program, and not of the model."""


def check_inputs(signature: Signature, inputs: Any) -> dict[str, Any]:
    """The inputs of a run, in the order of the signature; what was left out and may be is ``None``.

    Raises :class:`BadInput` for a missing, unknown or mistyped input.

    >>> from dspex_erl.programs.signature import parse_signature
    >>> check_inputs(parse_signature("question, limit: int | None -> answer"), {"question": "Why?"})
    {'question': 'Why?', 'limit': None}
    """
    if not isinstance(inputs, Mapping):
        raise BadInput(f"expected a map of inputs, got {kind_of(inputs)}, at inputs")
    names = [field.name for field in signature.inputs]
    for name in inputs:
        if name not in names:
            raise BadInput(f"expected the inputs {_cut(', '.join(names))}, got {brief(name)}, at inputs")
    return _checked(signature.inputs, inputs, "inputs", strict=True, error=BadInput)


def check_some(signature: Signature, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Values for some of the fields, inputs and outputs alike, as a demonstration has them. Names that are no fields are let through.

    Raises :class:`BadInput`, with ``where`` at the beginning of the path.
    """
    given = [field for field in (*signature.inputs, *signature.outputs) if field.name in values]
    return {**values, **_checked(given, values, where, strict=True, error=BadInput)}


def plain_result(signature: Signature, values: Mapping[str, Any]) -> dict[str, Any]:
    """The declared outputs out of what a program gave, as plain terms, in the order of the signature.

    Raises :class:`LMParse` for a missing or mistyped output, and :class:`EncodeError` for an object that nothing plain stands for.

    >>> from dspex_erl.programs.signature import parse_signature
    >>> plain_result(parse_signature("q -> day: date"), {"day": datetime.date(2024, 2, 29), "more": 1})
    {'day': '2024-02-29'}
    """
    lowered = {field.name: _lowered(values[field.name], field.name) for field in signature.outputs if field.name in values}
    return _checked(signature.outputs, lowered, "outputs", strict=False, error=LMParse)


def _checked(
    fields: Iterable[Field], values: Mapping[str, Any], root: str, *, strict: bool, error: type[BadInput | LMParse]
) -> dict[str, Any]:
    result = {}
    for field in fields:
        if field.name in values:
            try:
                result[field.name] = _check(field.type, values[field.name], strict)
            except _Mismatch as fault:
                fault.steps.append(f".{field.name}")
                raise error(f"expected {fault.expected}, got {fault.got}, at {fault.place(root)}") from None
        elif field.type.optional:
            result[field.name] = None
        else:
            raise error(f"expected {_cut(field.type.text)}, got nothing, at {root}.{field.name}")
    return result


# -- checking --------------------------------------------------------------------------------------------------------------------


def _check(kind: FieldType, value: Any, strict: bool) -> Any:
    """``value``, plain, if it is of type ``kind``. ``strict`` is for what a caller sends, and not for what a model writes."""
    return _CHECKS[kind.kind](kind, value, strict)


def _str(kind: FieldType, value: Any, strict: bool) -> Any:
    if not isinstance(value, str):
        _refuse(kind, value)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _Mismatch("text in Unicode", "a lone surrogate") from None
    return value


def _int(kind: FieldType, value: Any, strict: bool) -> Any:
    if not isinstance(value, int) or isinstance(value, bool):
        _refuse(kind, value)
    if value.bit_length() > MAX_BITS:
        raise _Mismatch(f"a whole number of at most {MAX_BITS} bits", f"{value.bit_length()} bits")
    return value


def _float(kind: FieldType, value: Any, strict: bool) -> Any:
    if isinstance(value, float):
        return value
    if not isinstance(value, int) or isinstance(value, bool):
        _refuse(kind, value)
    try:
        nearest = float(value)
    except OverflowError:
        raise _Mismatch("float", "a whole number that is too large for one") from None
    return value if strict else nearest


def _bool(kind: FieldType, value: Any, strict: bool) -> Any:
    if not isinstance(value, bool):
        _refuse(kind, value)
    return value


def _none(kind: FieldType, value: Any, strict: bool) -> Any:
    if value is not None:
        _refuse(kind, value)


def _any(kind: FieldType, value: Any, strict: bool) -> Any:
    _check_any(kind, value, MAX_DEPTH)
    return value


def _check_any(kind: FieldType, value: Any, depth: int) -> None:
    if value is None or isinstance(value, (bool, float)):
        return
    if isinstance(value, str):
        _str(kind, value, True)
    elif isinstance(value, int):
        _int(kind, value, True)
    elif isinstance(value, (list, dict)):
        if not depth:
            raise _Mismatch(f"at most {MAX_DEPTH} levels of nesting", "more")
        steps = enumerate(value) if isinstance(value, list) else value.items()
        step = None
        try:
            for step, item in steps:
                _check_key(step)
                _check_any(kind, item, depth - 1)
        except _Mismatch as fault:
            fault.steps.append(f"[{brief(step)}]")
            raise
    else:
        raise _Mismatch("texts, numbers, booleans, lists and maps", kind_of(value))


def _check_key(key: object) -> None:
    if isinstance(key, str):
        _str(_KEY, key, True)
    elif not isinstance(key, (int, float)):
        raise _Mismatch("a text or a number for a key", kind_of(key))


_KEY: Final = FieldType("str", "str")


def _list(kind: FieldType, value: Any, strict: bool) -> Any:
    if not isinstance(value, (list, tuple)):
        _refuse(kind, value)
    return _items(((kind.args[0], item) for item in value), strict)


def _tuple(kind: FieldType, value: Any, strict: bool) -> Any:
    if not isinstance(value, (list, tuple)):
        _refuse(kind, value)
    if len(value) != len(kind.args):
        raise _Mismatch(f"{_cut(kind.text)} of {len(kind.args)} items", f"{len(value)}")
    return _items(zip(kind.args, value), strict)


def _items(pairs: Iterable[tuple[FieldType, Any]], strict: bool) -> list[Any]:
    result: list[Any] = []
    try:
        for item_type, item in pairs:
            result.append(_CHECKS[item_type.kind](item_type, item, strict))
    except _Mismatch as fault:
        fault.steps.append(f"[{len(result)}]")
        raise
    return result


def _dict(kind: FieldType, value: Any, strict: bool) -> Any:
    if not isinstance(value, Mapping):
        _refuse(kind, value)
    key_type, item_type = kind.args
    result = {}
    key = None
    try:
        for key, item in value.items():
            if key_type.kind == "str" and not isinstance(key, str):
                raise _Mismatch("keys that are texts", kind_of(key))
            if key_type.kind == "int" and (not isinstance(key, int) or isinstance(key, bool)):
                raise _Mismatch("keys that are whole numbers", kind_of(key))
            _check_key(key)
            result[key] = _check(item_type, item, strict)
    except _Mismatch as fault:
        fault.steps.append(f"[{brief(key)}]")
        raise
    return result


def _object(kind: FieldType, value: Any, strict: bool) -> Any:
    if not isinstance(value, Mapping):
        _refuse(kind, value)
    names = {entry.name for entry in kind.fields}
    if strict:
        for name in value:
            if name not in names:
                raise _Mismatch(f"the keys of {_cut(kind.text)}", brief(name))
    result = {}
    for entry in kind.fields:
        if entry.name in value:
            try:
                result[entry.name] = _check(entry.type, value[entry.name], strict)
            except _Mismatch as fault:
                fault.steps.append(f".{entry.name}")
                raise
        elif entry.type.optional:
            result[entry.name] = None
        else:
            missing = _Mismatch(_cut(entry.type.text), "nothing")
            missing.steps.append(f".{entry.name}")
            raise missing
    return result


def _union(kind: FieldType, value: Any, strict: bool) -> Any:
    if value is None and kind.optional:
        return None
    members = kind.args[:-1] if kind.optional else kind.args
    if len(members) == 1:
        # Then the fault of a part is worth more than "expected one of these".
        return _check(members[0], value, strict)
    if isinstance(value, int):
        # A whole number is a float only if there is nothing better for it to be.
        members = tuple(sorted(members, key=lambda member: member.kind in ("float", "decimal")))
    for member in members:
        try:
            return _check(member, value, strict)
        except _Mismatch:
            continue
    return _refuse(kind, value)


def _literal(kind: FieldType, value: Any, strict: bool) -> Any:
    for choice in kind.choices:
        if type(choice) is type(value) and choice == value:
            return choice
    if not strict:
        # Python takes 1, 1.0 and True for each other. The caller gets the one that was declared.
        for choice in kind.choices:
            if choice == value:
                return choice
    raise _Mismatch(_cut(kind.text), brief(value))


_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME: Final = re.compile(r"([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:\.([0-9]{1,6}))?(Z|[+-][0-9]{2}:[0-9]{2})?")
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_LONGEST_DECIMAL: Final = 4000


def _date(kind: FieldType, value: Any, strict: bool) -> Any:
    return _iso(kind, value, _is_date)


def _datetime(kind: FieldType, value: Any, strict: bool) -> Any:
    return _iso(kind, value, lambda text: text[10:11] in ("T", " ") and _is_date(text[:10]) and _is_time(text[11:]))


def _time(kind: FieldType, value: Any, strict: bool) -> Any:
    return _iso(kind, value, _is_time)


def _iso(kind: FieldType, value: Any, is_right: Callable[[str], bool]) -> Any:
    if not isinstance(value, str):
        _refuse(kind, value)
    try:
        right = is_right(value)
    except ValueError:
        right = False
    if not right:
        raise _Mismatch(f"a {kind.text} in ISO 8601", brief(value))
    return value


def _is_date(text: str) -> bool:
    return _DATE.fullmatch(text) is not None and datetime.date.fromisoformat(text) is not None


def _is_time(text: str) -> bool:
    found = _TIME.fullmatch(text)
    if found is None:
        return False
    clock, fraction, zone = found.groups()
    if clock.count(":") < 2 and fraction is not None:
        return False
    # The Python of 3.10 knows neither Z nor fractions of other than three or six digits.
    return datetime.time.fromisoformat(clock + ("+00:00" if zone == "Z" else zone or "")) is not None


def _decimal(kind: FieldType, value: Any, strict: bool) -> Any:
    if isinstance(value, str):
        if len(value) > _LONGEST_DECIMAL or not _DECIMAL.fullmatch(value):
            raise _Mismatch("Decimal", brief(value))
        return value
    if isinstance(value, float) and value - value == 0.0:
        return value
    return _int(kind, value, strict)


_URL: Final = re.compile(r"(?:https?|gs)://[^\s]+|data:[^\s]+", re.IGNORECASE)
_MAGIC: Final = ((b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif"), (b"BM", "bmp"))


def _image(kind: FieldType, value: Any, strict: bool) -> Any:
    if isinstance(value, Mapping) and len(value) == 1:
        value = value.get("url")
    if isinstance(value, bytes):
        return {"url": _data_url(value)}
    # Never a path: the file would be one of this machine, and not of the caller's.
    if not isinstance(value, str) or not _URL.fullmatch(value):
        raise _Mismatch("the URL (http, https, gs or data) or the bytes of an image", brief(value))
    return {"url": _str(kind, value, strict)}


def _data_url(data: bytes) -> str:
    names = [name for magic, name in _MAGIC if data.startswith(magic)]
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        names.append("webp")
    if not names:
        raise _Mismatch("the bytes of a PNG, JPEG, GIF, WebP or BMP image", "others")
    return f"data:image/{names[0]};base64,{base64.b64encode(data).decode('ascii')}"


def _history(kind: FieldType, value: Any, strict: bool) -> Any:
    if isinstance(value, Mapping) and set(value) == {"messages"}:
        value = value["messages"]
    if not isinstance(value, list):
        raise _Mismatch("History, a list of maps from fields to values", kind_of(value))
    return _items(((_MESSAGE, item) for item in value), strict)


_MESSAGE: Final = FieldType("dict[str, any]", "dict", (_KEY, FieldType("any", "any")))

_CHECKS: Final[dict[str, Callable[[FieldType, Any, bool], Any]]] = {
    "str": _str,
    "int": _int,
    "float": _float,
    "bool": _bool,
    "none": _none,
    "any": _any,
    "list": _list,
    "tuple": _tuple,
    "dict": _dict,
    "object": _object,
    "union": _union,
    "literal": _literal,
    "date": _date,
    "datetime": _datetime,
    "time": _time,
    "decimal": _decimal,
    "image": _image,
    "history": _history,
    "code": _str,
}


# -- making plain ----------------------------------------------------------------------------------------------------------------


def _lowered(value: Any, name: str) -> Any:
    try:
        return _lower(value, MAX_DEPTH)
    except _Mismatch as fault:
        fault.steps.append(f".{name}")
        place = fault.place("outputs")
        if isinstance(fault, _NoCounterpart):
            raise EncodeError(fault.expected, fault.got, place) from None
        raise LMParse(f"expected {fault.expected}, got {fault.got}, at {place}") from None


_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


def _lower(value: Any, depth: int) -> Any:
    """``value`` without classes: containers, models and numbers of whatever library become lists, maps and numbers."""
    if type(value) in _PLAIN:
        return value
    if not depth:
        raise _Mismatch(f"at most {MAX_DEPTH} levels of nesting", "more")
    if isinstance(value, (list, tuple, set, frozenset)):
        return _lower_list(value, depth)
    if isinstance(value, Mapping):
        return _lower_items(value.items(), depth)
    return _lower_scalar(value) if isinstance(value, _SCALARS) else _lower_foreign(value, depth)


def _lower_list(items: Iterable[Any], depth: int) -> list[Any]:
    result: list[Any] = []
    try:
        for item in items:
            result.append(item if type(item) in _PLAIN else _lower(item, depth - 1))  # noqa: PERF401 - its length is the step
    except _Mismatch as fault:
        fault.steps.append(f"[{len(result)}]")
        raise
    return result


def _lower_items(items: Iterable[tuple[Any, Any]], depth: int) -> dict[Any, Any]:
    result = {}
    key = None
    try:
        for key, item in items:
            # An enumeration's member, or a number of numpy, is a key by its value.
            result[key if type(key) in _PLAIN else _lower_key(key)] = _lower(item, depth - 1)
    except _Mismatch as fault:
        fault.steps.append(f"[{brief(key)}]")
        raise
    return result


def _lower_key(key: Any) -> Any:
    lowered = _lower(key, 2)
    if type(lowered) not in _PLAIN:
        raise _Mismatch("a text or a number for a key", kind_of(key))
    return lowered


_SCALARS: Final = (Enum, str, int, float, bytes, bytearray, datetime.date, datetime.time, Decimal, UUID)


def _lower_scalar(value: Any) -> Any:
    if isinstance(value, Enum):
        return _lower(value.value, 2)
    for base in (str, int, float):
        if isinstance(value, base):
            return base(value)
    if isinstance(value, (bytes, bytearray)):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return bytes(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return str(value)


def _lower_foreign(value: Any, depth: int) -> Any:
    """Values of libraries that are looked for only where they have been imported: before that there can be none."""
    dspy: Any = sys.modules.get("dspy")
    if dspy is not None:
        for name, attribute in (("Image", "url"), ("Code", "code"), ("Reasoning", "content")):
            if isinstance(value, getattr(dspy, name, ())):
                return _lower(getattr(value, attribute), depth - 1)
        if isinstance(value, dspy.Example):
            return _lower_items(value.items(), depth)
    pydantic: Any = sys.modules.get("pydantic")
    if pydantic is not None and isinstance(value, pydantic.BaseModel):
        return _lower_items(value, depth)
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.generic, numpy.ndarray)):
        return _lower(value.tolist(), depth - 1)
    fields = getattr(type(value), "__dataclass_fields__", None)
    if fields is not None:
        return _lower_items(((name, getattr(value, name)) for name in fields), depth)
    raise _NoCounterpart("a value with an Erlang counterpart", kind_of(value))


# -- sentences -------------------------------------------------------------------------------------------------------------------


def _refuse(kind: FieldType, value: Any) -> NoReturn:
    raise _Mismatch(_cut(kind.text), kind_of(value))


def _cut(text: str) -> str:
    return text if len(text) <= 100 else text[:99] + "…"
