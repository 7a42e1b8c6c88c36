"""Python values that have no Erlang counterpart of their own, and what is sent in their place.

:func:`lower` is the slow path of both encoders: it is called for a value whose exact type they do not know (and for floats that are not
finite) and gives one that they do. Its own work is constant, but for the copies of subclasses and of arrays, which are linear.

Code of the user runs here (encoders, properties of an enumeration, ``isoformat``). Whatever it raises becomes a
:class:`~dspex_erl.errors.EncodeError` that names the type and never holds the value; only ``MemoryError`` and exits pass.
"""

from __future__ import annotations

import sys

from dspex_erl.errors import EncodeError
from dspex_erl.etf._faults import type_name
from dspex_erl.terms import (
    Atom,
    BitString,
    ByteAtom,
    ExactKey,
    Export,
    Fun,
    ImproperList,
    List,
    Map,
    OpaqueObject,
    Pid,
    Port,
    Reference,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from dspex_erl.etf._options import Options

MAX_LOWERINGS: Final = 8
"""How often the replacement of a value may itself be replaced: an encoder may answer with what it was given."""

TERM_TYPES: Final = frozenset({Pid, Port, Reference, Export, Fun, BitString, OpaqueObject})
"""Classes whose instances both encoders hand to ``pack_term``."""

_WIDE_ATOM: Final = type(ByteAtom("☃"))

DIRECT: Final = TERM_TYPES | {
    *(bool, type(None), int, float, str, bytes, list, tuple, dict),
    *(Atom, ByteAtom, _WIDE_ATOM, List, Map, ImproperList, ExactKey),
}
"""Exact types that both encoders know by themselves."""


def lower(value: Any, options: Options) -> Any:
    """A value of an exact type in :data:`DIRECT`, or a flat ``memoryview`` of bytes, to be sent instead of ``value``.

    Raises ``EncodeError``, with the path ``$``, if there is none.

    >>> from dspex_erl.etf._options import Options
    >>> lower({1}, Options()), lower(float("inf"), Options())
    ([1], Atom('infinity'))
    """
    for _ in range(MAX_LOWERINGS):
        try:
            value = _replace(value, options)
        except (MemoryError, EncodeError):
            raise
        except Exception as error:
            raise EncodeError(f"a counterpart of a {type_name(value)}", f"{type_name(error)} while making it") from error
        if type(value) in DIRECT and not _is_odd_float(value) or type(value) is memoryview:
            return value
    raise _no_counterpart(value)


def _is_odd_float(value: Any) -> bool:
    return type(value) is float and value - value != 0.0


def _no_counterpart(value: Any) -> EncodeError:
    return EncodeError("a value with an Erlang counterpart", type_name(value))


def _replace(value: Any, options: Options) -> Any:
    """One step towards a direct value. The order matters: what the user says first, then the narrower class."""
    if type(value) is float:
        return _float(value)
    hook = _encoder(type(value), options)
    if hook is not None:
        return hook(value)
    for module, names, plain in _CLASSES:
        loaded = sys.modules.get(module)
        if loaded is not None and isinstance(value, tuple(getattr(loaded, name, ()) for name in names)):
            return plain(value)
    fields = getattr(type(value), "__dataclass_fields__", None)
    if fields is not None:
        from dataclasses import fields as real_fields

        return {_field(field.name, options): getattr(value, field.name) for field in real_fields(value)}
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and isinstance(value, getattr(pydantic, "BaseModel", ())):
        pairs: Any = value
        return {_field(name, options): item for name, item in pairs}
    if options.allow_pickle:
        import pickle

        return OpaqueObject(pickle.dumps(value, 2), ByteAtom(b"python"))
    raise _no_counterpart(value)


def _encoder(kind: type, options: Options) -> Callable[[Any], Any] | None:
    encoders = options.encoders
    if encoders:
        # type.mro is asked of the type itself: an instance may pretend to be of another class.
        for base in type.__getattribute__(kind, "__mro__"):
            hook = encoders.get(base)
            if hook is not None:
                return hook
    return None


def _field(name: str, options: Options) -> str | bytes:
    # A charlist as the name of a field would be of no use, so both mappings send a binary.
    return name if options.strings == "str" else name.encode("utf-8", "surrogatepass")


def _float(value: float) -> float | Atom:
    plain = float.__float__(value)
    if plain - plain == 0.0:
        return plain
    return Atom("nan" if plain != plain else "infinity" if plain > 0 else "neg_infinity")


def _improper(value: ImproperList) -> ImproperList:
    plain = list.__new__(ImproperList)
    list.extend(plain, value)
    object.__setattr__(plain, "tail", value.tail)
    return plain


def _flat_bytes(value: bytes | bytearray) -> bytes:
    # Not bytes(value): a subclass may define __bytes__, or be as large as it likes.
    return bytes(memoryview(value))


def _view(value: memoryview) -> bytes | memoryview:
    flat = value.format == "B" and value.ndim == 1 and value.c_contiguous
    return value if flat else value.tobytes()


# For instances of the classes, what is sent instead. A module that the program has not imported cannot have any. An enumeration may
# be an ``int`` too, and a number of numpy a ``float``, so that the order matters. The methods are those of the base class,
# because a subclass may have its own.
_CLASSES: Final[tuple[tuple[str, tuple[str, ...], Callable[[Any], Any]], ...]] = (
    ("enum", ("Enum",), lambda value: value.value),
    ("builtins", ("int",), int.__int__),
    ("builtins", ("float",), _float),
    ("dspex_erl.terms", ("Atom",), lambda value: Atom(str.__str__(value))),
    ("builtins", ("str",), str.__str__),
    ("dspex_erl.terms", ("ByteAtom",), lambda value: ByteAtom(value.name)),
    ("builtins", ("bytes", "bytearray"), _flat_bytes),
    ("dspex_erl.terms", ("ImproperList",), _improper),
    ("builtins", ("list",), lambda value: list.__getitem__(value, slice(None))),
    ("builtins", ("tuple",), lambda value: tuple.__getitem__(value, slice(None))),
    ("builtins", ("dict",), dict.copy),
    ("builtins", ("set", "frozenset"), list),
    ("builtins", ("memoryview",), _view),
    ("datetime", ("date", "time"), lambda value: value.isoformat().encode()),
    ("decimal", ("Decimal",), lambda value: str(value).encode()),
    ("uuid", ("UUID",), lambda value: str(value).encode()),
    ("numpy", ("generic",), lambda value: value.item()),
    ("numpy", ("ndarray",), lambda value: value.tolist()),
)
