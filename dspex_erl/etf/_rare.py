"""What both decoders leave to Python: compressed terms, maps with difficult keys, structs, and terms of other languages.

The C coder calls these functions too, so that the rare cases have one meaning. They raise errors of the documented family with the
offset they are given and the path ``$``; the coder puts them in their place with :func:`at`.

Every function is linear in what it is given. That holds for hostile maps because keys of one hash are counted before they meet in a
``dict`` (:func:`check_hashes`), and because equal keys are told apart by one stand-in each, not by decoding them again.
"""

from __future__ import annotations

from dspex_erl.errors import DecodeError, EncodeError, format_path
from dspex_erl.etf import _tags as tags
from dspex_erl.etf._faults import Refusal, Short, at, decode_error, decode_limit, truncated, type_name
from dspex_erl.etf._foreign import OPAQUE, pack_term, read_bits, read_float_text, read_identifier, read_opaque, take
from dspex_erl.etf._lower import TERM_TYPES
from dspex_erl.terms import Atom, ByteAtom, ExactKey, Map
from dspex_erl.terms._containers import identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final

    from dspex_erl.etf._options import Options

__all__ = [
    "MANY_PAIRS",
    "MAX_KEY_DEPTH",
    "MAX_SAME_HASH",
    "at",
    "check_hashes",
    "clashing",
    "inflate",
    "key_fault",
    "leaf",
    "opaque",
    "raw",
    "struct",
]

MAX_KEY_DEPTH: Final = 100
"""How deep the key of a map may be: hashing it recurses in C."""

MANY_PAIRS: Final = 1000
"""Maps with more pairs than this have their hashes counted."""

MAX_SAME_HASH: Final = 128
"""How many keys of one map may have the same hash: ``dict`` takes the square of this number in steps."""

_INFLATE_CHUNK = 65536
# Hashes of these are salted per process, or those of so few objects that nobody can choose them.
SALTED = frozenset({str, bytes, Atom, ByteAtom})


def inflate(data: bytes | memoryview, offset: int, options: Options) -> tuple[bytes, int]:
    """The inflated bytes of the compressed term whose tag stands at ``offset``, and where its zlib stream ends.

    The announced size is checked against ``max_inflated`` before anything is inflated, and never more than one byte beyond it
    is produced. Input goes in by chunks, because zlib copies what follows its stream.
    """
    import zlib

    size = len(data)
    if size < offset + 5:
        raise truncated(size)
    announced = int.from_bytes(data[offset + 1 : offset + 5], "big")
    if announced > options.max_inflated:
        raise decode_limit("max_inflated", options.max_inflated, announced, offset)
    stream = zlib.decompressobj()
    view = memoryview(data)
    pos = offset + 5
    parts: list[bytes] = []
    room = announced + 1
    while not stream.eof and room:
        if pos >= size:
            raise truncated(size)
        chunk = view[pos : pos + _INFLATE_CHUNK]
        try:
            part = stream.decompress(chunk, room)
        except zlib.error:
            raise decode_error("inflated_data", None, offset) from None
        pos += len(chunk) - len(stream.unconsumed_tail) - len(stream.unused_data)
        room -= len(part)
        parts.append(part)
    if room != 1:
        raise decode_error("inflated_size", announced, offset)
    return b"".join(parts), pos


def leaf(data: bytes | memoryview, offset: int, options: Options) -> tuple[Any, int]:
    """The term at ``offset``, whose tag is that of an identifier, of a bit string or of an old float, and where it ends."""
    try:
        tag = data[offset]
        if tag == tags.FLOAT:
            return read_float_text(take(data, offset + 1, 31)), offset + 32
        if tag == tags.BIT_BINARY:
            return _bit_binary(data, offset, options)
        return read_identifier(data, offset)
    except Short:
        raise truncated(len(data)) from None
    except Refusal as refusal:
        raise DecodeError(refusal.expected, refusal.got, offset) from None


def _bit_binary(data: bytes | memoryview, offset: int, options: Options) -> tuple[Any, int]:
    header = take(data, offset + 1, 5)
    size, bits = int.from_bytes(header[:4], "big"), header[4]
    raw_bytes = take(data, offset + 6, size)
    if (bits == 0) != (size == 0) or bits > 8:
        raise decode_error("bits", bits, offset)
    bit_string = read_bits(raw_bytes, bits)
    if bit_string is not None:
        return bit_string, offset + 6 + size
    value: str | bytes = raw_bytes
    if options.strings == "str":
        try:
            value = raw_bytes.decode()
        except UnicodeDecodeError:
            pass
    return value, offset + 6 + size


def check_hashes(keys: Sequence[Any], offset: int, options: Options) -> None:
    """Raises if more keys than allowed have the same hash. Text and atoms are not counted: their hashes are salted."""
    counts: dict[int, int] = {}
    for key in keys:
        if type(key) in SALTED:
            continue
        try:
            number = hash(key)
        except MemoryError:
            raise
        except Exception as error:
            raise key_fault(error, offset) from error
        count = counts.get(number, 0)
        if count == MAX_SAME_HASH:
            raise decode_limit("max_same_hash", MAX_SAME_HASH, count + 1, offset)
        counts[number] = count + 1


def key_fault(error: Exception, offset: int) -> DecodeError:
    """The error for a map whose keys raised ``error`` when they were hashed or compared."""
    fault = decode_error("key", f"{type_name(error)} from one", offset)
    fault.__cause__ = error
    return fault


def clashing(keys: Sequence[Any], values: Sequence[Any], offset: int, options: Options) -> dict[Any, Any]:
    """The map of these pairs, some of whose keys Python takes for one.

    If Erlang tells them apart, the first stays itself and the others become :class:`ExactKey` in the ``bytes`` mapping; the ``str``
    mapping refuses them. A key that really comes twice is refused in both.
    """
    built: dict[Any, Any] = {}
    first: dict[Any, Any] = {}
    try:
        for key, value in zip(keys, values):
            if key in built:
                key = _distinct(key, first[key], built, offset, options)
            first[key] = key
            built[key] = value
    except (DecodeError, MemoryError):
        raise
    except Exception as error:
        raise key_fault(error, offset) from error
    if options.strings == "str":
        return built
    frozen = dict.__new__(Map)
    dict.update(frozen, built)
    return frozen


def _distinct(key: Any, earlier: Any, built: dict[Any, Any], offset: int, options: Options) -> ExactKey:
    stand_in = ExactKey(key)
    if stand_in in built or identity(earlier) == stand_in._identity:  # type: ignore[attr-defined]
        raise DecodeError("keys that differ", f"the same {type_name(key)} twice", offset, format_path([(key,)]))
    if options.strings == "str":
        got = f"a {type_name(key)} equal to a {type_name(earlier)}"
        raise DecodeError("keys that Python can tell apart", got, offset, format_path([(key,)]))
    return stand_in


def struct(mapping: dict[Any, Any], offset: int, options: Options) -> Any:
    """What the hook of ``options.structs`` makes of a map, or the map itself if it is no struct with a hook."""
    field = "__struct__" if options.strings == "str" else b"__struct__"
    kind = mapping.get(field)
    if not isinstance(kind, (Atom, ByteAtom)):
        return mapping
    hook = options.structs.get(kind.name)
    if hook is None or not any(isinstance(key, (Atom, ByteAtom)) and key == field for key in mapping):
        return mapping
    try:
        return hook(dict(mapping))
    except MemoryError:
        raise
    except Exception as error:
        raise DecodeError(f"fields of the struct {kind.name}", f"{type_name(error)} from its hook", offset) from error


def opaque(items: tuple[Any, ...], offset: int, options: Options) -> Any:
    """The value of ``{'$erlport.opaque', language, data}``; ``items`` itself if it is some other tuple of three.

    Unpickles only with ``allow_pickle``.
    """
    marker, language, payload = items
    if not (isinstance(marker, (Atom, ByteAtom)) and marker.name == OPAQUE and isinstance(language, (Atom, ByteAtom))):
        return items
    if type(payload) is str:
        payload = payload.encode("utf-8")
    elif type(payload) is memoryview:
        payload = bytes(payload)
    if type(payload) is not bytes:
        return items
    if language.name != "python":
        return read_opaque(language.name, payload, options.strings)
    if not options.allow_pickle:
        raise DecodeError("no pickled object (allow_pickle)", "one", offset)
    import pickle

    try:
        return pickle.loads(payload)
    except MemoryError:
        raise
    except Exception as error:
        raise DecodeError("a pickled object", f"{type_name(error)} from unpickling it", offset) from error


def raw(value: Any, options: Options) -> bytes | None:
    """The external format of a value of one of the classes for foreign terms; None for a value of any other type."""
    if type(value) not in TERM_TYPES:
        return None
    try:
        return pack_term(value, options.strings == "bytes")
    except Refusal as refusal:
        raise EncodeError(refusal.expected, refusal.got) from refusal.__cause__
