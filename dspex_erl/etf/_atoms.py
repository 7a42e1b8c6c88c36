"""The atoms that the pure decoder has met, by the bytes of their names: making one is slow, looking it up is not.

A table outlives the call, so that the next message finds its atoms there, and starts anew when it has grown too long. A message that
could bring more atoms than allowed gets tables of its own, whose length is what is counted.
"""

from __future__ import annotations

from dspex_erl.etf._faults import decode_error, decode_limit
from dspex_erl.terms import Atom, ByteAtom

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from dspex_erl.etf._options import Options

_CACHED = 4096
"""How many atoms are kept before a table starts anew."""

_MISSING: Final = object()


class Atoms:
    """Two tables, of names in UTF-8 and in Latin-1, which may be read directly. Threads may share them."""

    __slots__ = ("_counted", "_frozen", "_options", "latin", "marker", "utf8")

    def __init__(self, options: Options, counted: bool = False) -> None:
        self._options = options
        self._frozen = options.strings == "bytes"
        self._counted = counted
        self.marker: Any = ByteAtom(b"$erlport.opaque") if self._frozen else Atom("$erlport.opaque")
        self.utf8: dict[bytes, Any] = {}
        self.latin: dict[bytes, Any] = {}

    def counted(self) -> Atoms:
        """Empty tables, for a call that must count its atoms."""
        return Atoms(self._options, True)

    def get(self, raw: bytes, latin: bool, offset: int) -> Any:
        """The atom with this name. Raises ``DecodeError`` if there can be none, ``DecodeLimitError`` if it is one too many."""
        table = self.latin if latin else self.utf8
        # One look, because another thread may empty the table between two.
        value = table.get(raw, _MISSING)
        if value is not _MISSING:
            return value
        value = self._make(raw, latin, offset)
        if self._counted:
            number = len(self.utf8) + len(self.latin) + 1
            if number > self._options.max_atoms:
                raise decode_limit("max_atoms", self._options.max_atoms, number, offset)
        elif len(table) >= _CACHED:
            table.clear()
        table[raw] = value
        return value

    def _make(self, raw: bytes, latin: bool, offset: int) -> Any:
        try:
            name = raw.decode("latin-1" if latin else "utf-8")
        except UnicodeDecodeError:
            raise decode_error("atom_utf8", None, offset) from None
        if len(name) > 255:
            raise decode_error("atom_length", len(name), offset)
        if name == "true" or name == "false":
            return name == "true"
        if name == self.marker.name:
            return self.marker
        if self._frozen:
            return None if name == "undefined" else ByteAtom(name)
        return None if name == "nil" else Atom(name)
