"""Our signatures as DSPy's classes, and our plain values as the instances that those classes ask for.

A class costs 0.3 ms and 12 KB for ``question -> answer``, 1 ms and 40 KB for one with nested objects. Equal signatures share a class,
for as long as something uses it, and finding it costs 2 µs: the table holds its classes weakly, so it is never larger than the set of
programs in use. Classes are not changed after they are made; DSPy derives others from them.

DSPy's own parser of signatures is not used: it imports the modules that a type's name mentions.
"""

from __future__ import annotations

import datetime
import threading
import warnings
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, Union
from weakref import WeakKeyDictionary, WeakValueDictionary

import dspy
import pydantic

if TYPE_CHECKING:
    from dspex_erl.programs.field_types import FieldType
    from dspex_erl.programs.signature import Signature

__all__ = ["annotation", "dspy_signature", "typed_values"]

# Fields may be called "copy" or "json", as some methods are that Pydantic has given up and DSPy's classes do not miss.
warnings.filterwarnings("ignore", message=r'Field name "\w+" in "\w+" shadows an attribute in parent', category=UserWarning)

Makers: TypeAlias = dict[str, Callable[[Any], Any]]

_lock = threading.Lock()
_classes: WeakValueDictionary[Signature, type[dspy.Signature]] = WeakValueDictionary()
_makers: WeakKeyDictionary[type[dspy.Signature], Makers] = WeakKeyDictionary()


def dspy_signature(signature: Signature) -> type[dspy.Signature]:
    """The class for ``signature``: the same one for equal signatures while anything uses it.

    >>> from dspex_erl.programs.signature import parse_signature
    >>> dspy_signature(parse_signature("question -> score: float")).output_fields["score"].annotation
    <class 'float'>
    """
    with _lock:
        made = _classes.get(signature)
        if made is None:
            made, makers = _make(signature)
            _classes[signature] = made
            _makers[made] = makers
        return made


def typed_values(signature: Signature, values: Mapping[str, Any]) -> dict[str, Any]:
    """Checked plain values as a DSPy program takes them: dates, objects, images and the like as instances of their classes.

    Names that are no fields, and values of types that are plain themselves, are passed on as they are.
    """
    made = dspy_signature(signature)
    makers = _makers[made]
    return {name: makers[name](value) if name in makers else value for name, value in values.items()}


def _make(signature: Signature) -> tuple[type[dspy.Signature], Makers]:
    fields: dict[str, Any] = {}
    makers: Makers = {}
    for side, declare in ((signature.inputs, dspy.InputField), (signature.outputs, dspy.OutputField)):
        for field in side:
            kind = annotation(field.type, _title(field.name))
            fields[field.name] = (kind, declare(desc=field.desc) if field.desc else declare())
            if field.type.kind == "history":
                makers[field.name] = _history
            elif not _stays(field.type):
                makers[field.name] = pydantic.TypeAdapter(kind).validate_python
    return dspy.Signature(fields, signature.instructions or None), makers


def _history(messages: list[dict[str, Any]]) -> dspy.History:
    return dspy.History(messages=messages)


_BASIC: Final[dict[str, Any]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "any": Any,
    "none": None,
    "date": datetime.date,
    "datetime": datetime.datetime,
    "time": datetime.time,
    "decimal": Decimal,
    "image": dspy.Image,
    "history": dspy.History,
}


_CONTAINERS: Final[dict[str, Any]] = {"list": list, "dict": dict, "tuple": tuple, "union": Union}


def annotation(kind: FieldType, title: str) -> Any:
    """What Python calls a type. ``title`` names the classes that are made for objects; the model reads it in the schema."""
    if kind.kind in _BASIC:
        return _BASIC[kind.kind]
    if kind.kind == "literal":
        return Literal[kind.choices]
    if kind.kind == "code":
        return dspy.Code[kind.choices[0]]
    if kind.kind == "object":
        return _model(kind, title)
    parts = tuple(annotation(part, title) for part in kind.args)
    return _CONTAINERS[kind.kind][parts]


def _model(kind: FieldType, title: str) -> type[pydantic.BaseModel]:
    fields: dict[str, Any] = {}
    for entry in kind.fields:
        default = None if entry.type.optional else ...
        kind_of_entry = annotation(entry.type, _title(entry.name))
        fields[entry.name] = (kind_of_entry, pydantic.Field(default, description=entry.desc or None))
    made: type[pydantic.BaseModel] = pydantic.create_model(title, __config__=pydantic.ConfigDict(protected_namespaces=()), **fields)
    return made


def _title(name: str) -> str:
    """A class's name out of a field's.

    >>> _title("home_address")
    'HomeAddress'
    """
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


_STAY: Final = frozenset({"str", "int", "bool", "any", "none", "literal", "list", "dict", "union"})


def _stays(kind: FieldType) -> bool:
    """Whether a plain value of this type is already what the annotation says."""
    return kind.kind in _STAY and all(_stays(part) for part in kind.args)
