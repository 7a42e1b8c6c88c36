"""Atoms: a ``str`` in our mapping, ``bytes`` in ErlPort's.

An atom is at most 255 characters of Unicode (External Term Format, ATOM_UTF8_EXT). :class:`Atom` is what new code should use.
:class:`ByteAtom` is ErlPort's ``Atom``: its bytes are the name in Latin-1, as ErlPort's Erlang side sends it. A name that
Latin-1 cannot write is held in UTF-8 by a subclass that remembers so, because ``'日'`` and ``'æ\\x97¥'`` would be the same bytes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_CHARACTERS = 255
"""The longest atom, in characters, that Erlang accepts."""

_INTERNED = 8192
"""How many atoms are kept for their identity. Input chooses atoms, so the table must not grow without end."""


def _check_name(name: str) -> None:
    if len(name) > MAX_CHARACTERS:
        raise ValueError(f"expected an atom of at most {MAX_CHARACTERS} characters, got {len(name)}")
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("expected an atom of Unicode characters, got a surrogate") from None


class Atom(str):
    """An Erlang atom that can be used wherever a ``str`` can.

    ``name`` is a ``str``, or ``bytes`` in UTF-8. Raises ``TypeError`` for anything else, and ``ValueError`` for more
    than 255 characters or for characters that UTF-8 cannot write.

    >>> Atom("ok") == "ok", Atom(b"ok")
    (True, Atom('ok'))
    """

    __slots__ = ()

    def __new__(cls, name: str | bytes) -> Atom:
        if type(name) is cls:
            return name
        if isinstance(name, ByteAtom):
            name = name.name
        elif isinstance(name, bytes):
            name = name.decode("utf-8")
        elif not isinstance(name, str):
            raise TypeError(f"expected an atom's name as str or bytes, got {type(name).__name__}")
        _check_name(name)
        return super().__new__(cls, name)

    @property
    def name(self) -> str:
        """The atom's text as a plain ``str``."""
        return str.__str__(self)

    def __repr__(self) -> str:
        return f"Atom({super().__repr__()})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Atom, (self.name,)


class ByteAtom(bytes):
    """ErlPort's ``Atom``: the name as Latin-1 bytes, equal to them, and one object for one name.

    ``name`` is ``bytes`` in Latin-1 or a ``str``. Raises ``TypeError`` for anything else and ``ValueError`` for more than
    255 characters.

    >>> ByteAtom(b"ok") == b"ok", ByteAtom("ok") is ByteAtom(b"ok"), ByteAtom(b"ok")
    (True, True, Atom(b'ok'))
    """

    __slots__ = ()
    _interned: dict[str, ByteAtom] = {}

    def __new__(cls, name: bytes | str) -> ByteAtom:
        if isinstance(name, ByteAtom):
            return name
        if isinstance(name, bytes):
            text = name.decode("latin-1")
        elif isinstance(name, str):
            text = str(name)
        else:
            raise TypeError(f"expected an atom's name as bytes or str, got {type(name).__name__}")
        atom = ByteAtom._interned.get(text)
        if atom is None:
            _check_name(text)
            try:
                atom = bytes.__new__(ByteAtom, text.encode("latin-1"))
            except UnicodeEncodeError:
                atom = bytes.__new__(_WideAtom, text.encode("utf-8"))
            if len(ByteAtom._interned) < _INTERNED:
                ByteAtom._interned[text] = atom
        return atom

    @property
    def name(self) -> str:
        """The atom's text."""
        return self.decode("latin-1")

    def __repr__(self) -> str:
        return f"Atom({super().__repr__()})"

    def __reduce__(self) -> tuple[Any, ...]:
        return ByteAtom, (self.name,)


class _WideAtom(ByteAtom):
    """An atom that Latin-1 cannot write; its bytes are UTF-8."""

    __slots__ = ()

    @property
    def name(self) -> str:
        return self.decode("utf-8")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ByteAtom) and not isinstance(other, _WideAtom):
            return False
        return bytes.__eq__(self, other) is True

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = bytes.__hash__
