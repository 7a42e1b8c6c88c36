"""Terms as callers send them, and replies as callers expect them, whichever of the three ways they came in by.

Inside, a value is *plain*: ``None``, ``bool``, ``int``, ``float``, ``str``, ``list``, ``dict`` with plain keys, and ``bytes`` for what is
not text. :func:`plain` makes it so, in one pass; nothing below this layer sees an atom. Going out, :func:`reply` turns the keys
of :class:`Fields` into atoms, which are this package's own names, and all other texts into binaries, so that no data becomes an atom.
Under ErlPort's own Python side the atoms and maps must be of ErlPort's classes, so those are used if it is that which runs.
"""

from __future__ import annotations

import sys

from dspex_erl.errors import BadRequest
from dspex_erl.terms import Atom, ByteAtom

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["MAX_DEPTH", "Fields", "has_atom_keys", "named", "plain", "reply"]

MAX_DEPTH = 200
"""How deep an argument may nest. Deeper ones are refused before they can exhaust Python's stack."""

_NOTHING = ("nil", "undefined", "null")
_AS_THEY_ARE = frozenset({str, int, float, bool, type(None)})


class Fields(dict):  # type: ignore[type-arg]
    """A map whose keys are names of this package, or fields that the caller named as atoms: they leave as atoms."""

    __slots__ = ()


def plain(term: Any, where: str = "argument", depth: int = MAX_DEPTH) -> Any:
    """``term`` without atoms, binaries, tuples and ErlPort's classes. Costs one pass, and nothing for numbers and texts.

    Raises :class:`BadRequest` for more than ``depth`` levels and for keys that are the same text. What has no plain form
    (a pid, say) is left as it is, for whoever checks types to refuse.

    >>> plain({Atom("name"): b"Ada", b"tags": [Atom("x"), None]})
    {'name': 'Ada', 'tags': ['x', None]}
    """
    kind = type(term)
    if kind in _AS_THEY_ARE:
        return term
    if kind is bytes:
        return _text(term)
    if isinstance(term, (str, bytes)):
        return _name(term)
    if not depth:
        raise BadRequest(f"expected at most {MAX_DEPTH} levels of nesting, got more, at {where}")
    if isinstance(term, dict):
        return _plain_map(term, where, depth)
    if isinstance(term, (list, tuple)):
        return [item if type(item) in _AS_THEY_ARE else plain(item, where, depth - 1) for item in term]
    return term


def _plain_map(term: dict[Any, Any], where: str, depth: int) -> dict[Any, Any]:
    result = {}
    for key, value in term.items():
        if type(key) is not str:
            key = plain(key, where, depth - 1)
            if isinstance(key, (list, dict)):
                raise BadRequest(f"expected keys that are texts or numbers, got a {type(key).__name__}, at {where}")
        result[key] = value if type(value) in _AS_THEY_ARE else plain(value, where, depth - 1)
    if len(result) != len(term):
        raise BadRequest(f"expected keys that differ as texts, got the same one as an atom and as a binary, at {where}")
    return result


def _text(data: bytes) -> str | bytes:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data


def _name(atom: str | bytes) -> Any:
    """The text of an atom of any of the classes that are in use; ``None`` for those that stand for nothing."""
    if isinstance(atom, ByteAtom):
        name = atom.name
    elif isinstance(atom, bytes):
        # ErlPort's own class, whose bytes are Latin-1, or a subclass of bytes that somebody's hook has made.
        name = bytes(atom).decode("latin-1") if type(atom).__name__ == "Atom" else _text(bytes(atom))  # type: ignore[assignment]
    else:
        name = str.__str__(atom)
    return None if name in _NOTHING and type(atom).__name__ != "str" else name


def has_atom_keys(term: Any) -> bool:
    """Whether a map as it came has an atom for its first key. An empty one, or no map, has not."""
    if not isinstance(term, dict):
        return False
    for key in term:
        return isinstance(key, (Atom, ByteAtom)) or type(key).__name__ == "Atom"
    return False


def named(values: dict[str, Any], like: Any) -> dict[str, Any]:
    """``values`` with its keys to be sent as the keys of ``like`` came: atoms if those were atoms, else binaries."""
    return Fields(values) if has_atom_keys(like) else values


def reply(value: Any) -> Any:
    """``value`` as terms: the keys of :class:`Fields` as atoms, every other text as a binary, ``None`` as ``nil``.

    >>> reply(Fields(status="ok", result={"answer": "4"}))
    {Atom('status'): b'ok', Atom('result'): {b'answer': b'4'}}
    """
    atom, mapping = _classes()
    return _reply(value, atom, mapping)


def _reply(value: Any, atom: Callable[[str], Any], mapping: Callable[[Any], Any]) -> Any:
    kind = type(value)
    if kind is str:
        return value.encode("utf-8", "surrogatepass")
    if value is None:
        return atom("nil")
    if kind is list:
        return [_reply(item, atom, mapping) for item in value]
    if kind is Fields:
        return mapping({atom(key): _reply(item, atom, mapping) for key, item in value.items()})
    if kind is dict:
        return mapping({_reply(key, atom, mapping): _reply(item, atom, mapping) for key, item in value.items()})
    if kind is tuple:
        return tuple(_reply(item, atom, mapping) for item in value)
    return value


def _classes() -> tuple[Callable[[str], Any], Callable[[Any], Any]]:
    """The atoms and maps of whoever encodes the reply: ErlPort if its own Python side runs this process, else this package."""
    theirs = sys.modules.get("erlport.erlterms")
    if theirs is None or theirs.Atom is ByteAtom:
        # Nobody has imported ErlPort, or what goes by its name is this package's stand-in for it.
        return Atom, dict
    return _erlport_atom(theirs.Atom), getattr(theirs, "Map", dict)


def _erlport_atom(kind: Callable[[bytes], Any]) -> Callable[[str], Any]:
    return lambda name: kind(name.encode("latin-1"))
