"""Terms that only mean something to the node that made them: pids, references, ports, funs, and bit strings.

Python cannot look into them usefully, but must give them back unchanged, compare them and use them as keys. Fields are those of the
External Term Format's sections of the same names.
"""

from __future__ import annotations

from dataclasses import dataclass

from dspex_erl.terms._atom import Atom, ByteAtom


@dataclass(frozen=True, slots=True)
class Pid:
    """A process (NEW_PID_EXT): ``id`` and ``serial`` are 32 bits, ``creation`` the incarnation of its ``node``."""

    node: Atom
    id: int
    serial: int
    creation: int


@dataclass(frozen=True, slots=True)
class Port:
    """A port (NEW_PORT_EXT, V4_PORT_EXT): ``id`` has 64 bits."""

    node: Atom
    id: int
    creation: int


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference (NEWER_REFERENCE_EXT): ``ids`` are one to five words of 32 bits."""

    node: Atom
    creation: int
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Export:
    """``fun module:function/arity`` (EXPORT_EXT)."""

    module: Atom
    function: Atom
    arity: int


@dataclass(frozen=True, slots=True)
class Fun:
    """A closure (NEW_FUN_EXT, and FUN_EXT of old nodes), kept as ``data``: its external format from the tag on."""

    data: bytes

    def __repr__(self) -> str:
        return f"Fun(<{len(self.data)} bytes>)"


@dataclass(frozen=True, slots=True)
class BitString:
    """A binary whose last byte has only ``bits`` (1 to 7) significant bits, the high ones (BIT_BINARY_EXT)."""

    data: bytes
    bits: int

    def __post_init__(self) -> None:
        if not self.data or not 1 <= self.bits <= 7:
            raise ValueError(f"expected some bytes and 1 to 7 bits in the last, got {len(self.data)} and {self.bits}")


@dataclass(frozen=True, slots=True, repr=False)
class OpaqueObject:
    """ErlPort's stand-in for a term of another language: ``data`` is for ``language`` to understand.

    With ``language`` ``erlang`` it is the external format, without the version byte, of a term that ErlPort's Erlang side wrapped.
    """

    data: bytes
    language: ByteAtom

    def __post_init__(self) -> None:
        if type(self.data) is not bytes:
            raise TypeError(f"expected bytes as data, got {type(self.data).__name__}")
        if not isinstance(self.language, ByteAtom):
            raise TypeError(f"expected an Atom as language, got {type(self.language).__name__}")

    def __repr__(self) -> str:
        return f"OpaqueObject({self.data!r}, {self.language!r})"
