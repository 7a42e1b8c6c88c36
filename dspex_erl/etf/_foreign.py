"""Terms that only mean something to a node, and the check of raw terms: read, written and stepped over by both coders.

None of this is on a hot path. Reading raises :class:`Short` when the bytes end too early and :class:`Refusal` when they are
no term; writing raises :class:`Refusal` when a value's fields do not fit the format. Everything is linear in the bytes read, and
:func:`skip_term` keeps its place in two integers and a list of the closures around it, so that depth costs nothing.
"""

from __future__ import annotations

import struct

from dspex_erl.etf import _tags as tags
from dspex_erl.etf._faults import Refusal, Short, type_name
from dspex_erl.terms import Atom, BitString, ByteAtom, Export, Fun, OpaqueObject, Pid, Port, Reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

OPAQUE: Final = "$erlport.opaque"
"""The atom with which ErlPort marks a term of another language."""

MAX_REFERENCE_WORDS: Final = 5

_U16 = struct.Struct(">H").unpack_from
_U32 = struct.Struct(">I").unpack_from
_U64 = struct.Struct(">Q").unpack_from
_NEW_FUN_HEADER = struct.Struct(">IB16sII").unpack_from
_NEW_FUN_HEADER_SIZE = 29


def pack_atom(name: str, latin: bool) -> bytes:
    """The external format of an atom: ATOM_EXT if ``latin`` and Latin-1 can write it (ErlPort's way), else UTF-8.

    >>> pack_atom("ok", True), pack_atom("ok", False)
    (b'd\\x00\\x02ok', b'w\\x02ok')
    """
    if latin:
        try:
            text = name.encode("latin-1")
        except UnicodeEncodeError:
            pass
        else:
            return b"d" + len(text).to_bytes(2, "big") + text
    text = name.encode("utf-8")
    if len(text) < 256:
        return bytes((tags.SMALL_ATOM_UTF8, len(text))) + text
    return b"v" + len(text).to_bytes(2, "big") + text


def read_float_text(text: bytes) -> float:
    """The number in the 31 bytes of a FLOAT_EXT. ``float()`` alone would take spaces, underscores and ``inf``."""
    import re  # Tag 99 is of the last century; no start of a worker shall wait for this.

    found = re.fullmatch(rb"([+-]?[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?)\x00*", text)
    if found is None:
        raise Refusal("a float's digits", "other characters")
    number = float(found[1])
    if number - number != 0.0:
        raise Refusal("a finite float", "an infinity")
    return number


def take(data: bytes | memoryview, pos: int, count: int) -> bytes:
    """``count`` bytes from ``pos`` on, copied once."""
    piece = bytes(data[pos : pos + count])
    if len(piece) < count:
        raise Short
    return piece


def read_atom(data: bytes | memoryview, pos: int) -> tuple[Atom, int]:
    """The atom whose tag stands at ``pos``, and where it ends."""
    tag = _byte(data, pos)
    if tag in (tags.SMALL_ATOM_UTF8, tags.SMALL_ATOM):
        size, pos = _byte(data, pos + 1), pos + 2
    elif tag in (tags.ATOM_UTF8, tags.ATOM):
        size, pos = _number(_U16, data, pos + 1), pos + 3
    else:
        raise Refusal("an atom", f"byte {tag}")
    raw = take(data, pos, size)
    try:
        name = raw.decode("utf-8" if tag in (tags.SMALL_ATOM_UTF8, tags.ATOM_UTF8) else "latin-1")
    except UnicodeDecodeError:
        raise Refusal("an atom's name in UTF-8", "other bytes") from None
    if len(name) > 255:
        raise Refusal("an atom of at most 255 characters", str(len(name)))
    return Atom(name), pos + size


def _byte(data: bytes | memoryview, pos: int) -> int:
    if pos >= len(data):
        raise Short
    return data[pos]


def _number(unpack: Callable[..., tuple[int]], data: bytes | memoryview, pos: int) -> int:
    try:
        return unpack(data, pos)[0]
    except struct.error:
        raise Short from None


def read_identifier(data: bytes | memoryview, pos: int) -> tuple[object, int]:
    """The pid, port, reference or fun whose tag stands at ``pos``, and where it ends."""
    tag = data[pos]
    if tag in (tags.NEW_FUN, tags.FUN):
        end = skip_term(data, pos)
        return Fun(bytes(data[pos:end])), end
    if tag in (tags.NEWER_REFERENCE, tags.NEW_REFERENCE):
        return _read_reference(data, pos)
    node, end = read_atom(data, pos + 1)
    if tag == tags.EXPORT:
        function, end = read_atom(data, end)
        if _byte(data, end) != tags.SMALL_INTEGER:
            raise Refusal("the arity of a fun", f"byte {data[end]}")
        return Export(node, function, _byte(data, end + 1)), end + 2
    if tag == tags.V4_PORT:
        return Port(node, _number(_U64, data, end), _number(_U32, data, end + 8)), end + 12
    first = _number(_U32, data, end)
    if tag == tags.NEW_PID:
        return Pid(node, first, _number(_U32, data, end + 4), _number(_U32, data, end + 8)), end + 12
    if tag == tags.PID:
        return Pid(node, first, _number(_U32, data, end + 4), _byte(data, end + 8)), end + 9
    if tag == tags.NEW_PORT:
        return Port(node, first, _number(_U32, data, end + 4)), end + 8
    creation = _byte(data, end + 4)
    if tag == tags.PORT:
        return Port(node, first, creation), end + 5
    return Reference(node, creation, (first,)), end + 5


def _read_reference(data: bytes | memoryview, pos: int) -> tuple[Reference, int]:
    words = _number(_U16, data, pos + 1)
    if not 1 <= words <= MAX_REFERENCE_WORDS:
        raise Refusal(f"1 to {MAX_REFERENCE_WORDS} words in a reference", str(words))
    node, end = read_atom(data, pos + 3)
    if data[pos] == tags.NEW_REFERENCE:
        creation, end = _byte(data, end), end + 1
    else:
        creation, end = _number(_U32, data, end), end + 4
    ids = struct.unpack(f">{words}I", take(data, end, 4 * words))
    return Reference(node, creation, ids), end + 4 * words


def skip_term(data: bytes | memoryview, pos: int) -> int:
    """Where the term whose tag stands at ``pos`` ends.

    All of it is checked as the decoders check it, but for the limits and for equal keys of a map. Nothing is built.
    """
    pending = 1
    closures: list[tuple[int, int]] = []
    while True:
        if pending == 0:
            if not closures:
                return pos
            pending, end = closures.pop()
            if pos != end:
                raise Refusal("a fun of the size it announces", "another size")
            continue
        pending -= 1
        tag = _byte(data, pos)
        if tag == tags.NEW_FUN:
            end = pos + 1 + _number(_U32, data, pos + 1)
            free, pos = _skip_new_fun_header(data, pos)
            closures.append((pending, end))
            pending = free
        else:
            pos, more = _skip_one(data, pos, tag)
            pending += more


def _skip_one(data: bytes | memoryview, pos: int, tag: int) -> tuple[int, int]:
    """Steps over one leaf or the header of a container: where it ends, and how many terms belong to it."""
    if tag in _LEAF_SIZES:
        return _skip_leaf(data, pos, tag), 0
    if tag in _LENGTH_SIZES:
        return _skip_sized(data, pos, tag), 0
    if tag == tags.SMALL_TUPLE:
        return pos + 2, _byte(data, pos + 1)
    if tag in (tags.LARGE_TUPLE, tags.LIST, tags.MAP):
        count = _number(_U32, data, pos + 1)
        return pos + 5, count + 1 if tag == tags.LIST else 2 * count if tag == tags.MAP else count
    if tag in (tags.ATOM, tags.SMALL_ATOM, tags.ATOM_UTF8, tags.SMALL_ATOM_UTF8):
        return read_atom(data, pos)[1], 0
    if tag == tags.FUN:
        free = _number(_U32, data, pos + 1)
        pos = _skip_pid(data, pos + 5)
        pos = read_atom(data, pos)[1]
        return _skip_integer(data, _skip_integer(data, pos)), free
    if tag in tags.IDENTIFIERS:
        return read_identifier(data, pos)[1], 0
    raise Refusal("the tag of a term", f"byte {tag}")


_LEAF_SIZES: Final = {tags.NIL: 1, tags.SMALL_INTEGER: 2, tags.INTEGER: 5, tags.NEW_FLOAT: 9, tags.FLOAT: 32}
_LENGTH_SIZES: Final = {
    tags.BINARY: (_U32, 5),
    tags.STRING: (_U16, 3),
    tags.BIT_BINARY: (_U32, 6),
    tags.LARGE_BIG: (_U32, 6),
    tags.SMALL_BIG: (None, 3),
}


def _skip_leaf(data: bytes | memoryview, pos: int, tag: int) -> int:
    raw = take(data, pos, _LEAF_SIZES[tag])
    if tag == tags.FLOAT:
        read_float_text(raw[1:])
    elif tag == tags.NEW_FLOAT and raw[1] & 0x7F == 0x7F and raw[2] & 0xF0 == 0xF0:
        raise Refusal("a finite float", "not a number, or an infinity")
    return pos + len(raw)


def _skip_sized(data: bytes | memoryview, pos: int, tag: int) -> int:
    unpack, header = _LENGTH_SIZES[tag]
    size = _byte(data, pos + 1) if unpack is None else _number(unpack, data, pos + 1)
    end = pos + header + size
    if end > len(data):
        raise Short
    if tag == tags.BIT_BINARY:
        bits = data[pos + 5]
        if (bits == 0) != (size == 0) or bits > 8:
            raise Refusal("1 to 8 bits in the last byte of a bit string", str(bits))
    return end


def _skip_new_fun_header(data: bytes | memoryview, pos: int) -> tuple[int, int]:
    try:
        free = _NEW_FUN_HEADER(data, pos + 1)[4]
    except struct.error:
        raise Short from None
    pos = read_atom(data, pos + 1 + _NEW_FUN_HEADER_SIZE)[1]
    pos = _skip_integer(data, _skip_integer(data, pos))
    return free, _skip_pid(data, pos)


def _skip_integer(data: bytes | memoryview, pos: int) -> int:
    tag = _byte(data, pos)
    if tag not in (tags.SMALL_INTEGER, tags.INTEGER):
        raise Refusal("an integer of a fun", f"byte {tag}")
    return _skip_leaf(data, pos, tag)


def _skip_pid(data: bytes | memoryview, pos: int) -> int:
    tag = _byte(data, pos)
    if tag not in (tags.NEW_PID, tags.PID):
        raise Refusal("the pid of a fun", f"byte {tag}")
    return read_identifier(data, pos)[1]


def pack_term(value: object, latin: bool) -> bytes:
    """The external format of a value of one of the classes for foreign terms.

    Raises :class:`Refusal` when its fields do not fit: data that came from Erlang always do, data from a user may not.
    """
    try:
        return _PACKERS[type(value)](value, latin)
    except (struct.error, TypeError, ValueError, OverflowError) as error:
        raise Refusal("fields within the external format", f"others in a {type_name(value)}") from error


def _node(name: object) -> bytes:
    return pack_atom(Atom(name), False)  # type: ignore[arg-type]


def _pack_pid(pid: Pid, _latin: bool) -> bytes:
    return b"X" + _node(pid.node) + struct.pack(">III", pid.id, pid.serial, pid.creation)


def _pack_port(port: Port, _latin: bool) -> bytes:
    if port.id < 2**32:
        return b"Y" + _node(port.node) + struct.pack(">II", port.id, port.creation)
    return b"x" + _node(port.node) + struct.pack(">QI", port.id, port.creation)


def _pack_reference(reference: Reference, _latin: bool) -> bytes:
    words = len(reference.ids)
    if not 1 <= words <= MAX_REFERENCE_WORDS:
        raise ValueError(words)
    ids = struct.pack(f">{words}I", *reference.ids)
    return struct.pack(">BH", tags.NEWER_REFERENCE, words) + _node(reference.node) + struct.pack(">I", reference.creation) + ids


def _pack_export(export: Export, _latin: bool) -> bytes:
    return b"q" + _node(export.module) + _node(export.function) + struct.pack(">BB", tags.SMALL_INTEGER, export.arity)


def _pack_fun(fun: Fun, _latin: bool) -> bytes:
    if type(fun.data) is not bytes or fun.data[:1] not in (b"p", b"u"):
        raise ValueError("no fun")
    return _checked(fun.data)


def _pack_bit_string(bit_string: BitString, _latin: bool) -> bytes:
    data = bytes(memoryview(bit_string.data))
    return struct.pack(">BIB", tags.BIT_BINARY, len(data), bit_string.bits) + data


def _pack_opaque(opaque: OpaqueObject, latin: bool) -> bytes:
    if opaque.language.name == "erlang":
        return _checked(opaque.data)
    head = b"h\x03" + pack_atom(OPAQUE, latin) + pack_atom(opaque.language.name, latin)
    return head + struct.pack(">BI", tags.BINARY, len(opaque.data)) + opaque.data


def _checked(data: bytes) -> bytes:
    """``data``, which must be one whole term: a broken one would spoil the frame around it."""
    try:
        end = skip_term(data, 0)
    except (Short, Refusal) as error:
        raise ValueError("no term") from error
    if end != len(data):
        raise ValueError("more than one term")
    return data


_PACKERS: Final[dict[type, Callable[..., bytes]]] = {
    Pid: _pack_pid,
    Port: _pack_port,
    Reference: _pack_reference,
    Export: _pack_export,
    Fun: _pack_fun,
    BitString: _pack_bit_string,
    OpaqueObject: _pack_opaque,
}


def read_opaque(name: str, payload: bytes, strings: str) -> object:
    """What ErlPort's opaque term of the language ``name`` stands for: a term of ours if it is one."""
    if name == "erlang" and strings == "str" and payload:
        term = _read_leaf(payload)
        if term is not None:
            return term
    return OpaqueObject(payload, ByteAtom(name))


def _read_leaf(payload: bytes) -> object:
    try:
        if payload[0] in tags.IDENTIFIERS:
            term, end = read_identifier(payload, 0)
            return term if end == len(payload) else None
        if payload[0] == tags.BIT_BINARY and skip_term(payload, 0) == len(payload):
            return read_bits(payload[6:], payload[5])
    except (Short, Refusal):
        pass
    return None


def read_bits(data: bytes, bits: int) -> BitString | None:
    """The bit string of ``data``, with the bits that do not belong to it at zero; None if all of them do."""
    if bits in (0, 8):
        return None
    return BitString(data[:-1] + bytes((data[-1] & (0xFF << (8 - bits) & 0xFF),)), bits)
