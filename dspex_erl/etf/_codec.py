"""The codec that users see: options checked once, and the coder, C or pure, behind them.

A :class:`Codec` adds no layer to a call: its four slots hold the bound methods of the coders themselves. The exception is an encoder
with ``compressed``, because zlib is called from Python in both implementations.
"""

from __future__ import annotations

import os

from dspex_erl.etf._options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Literal, Protocol, TypeAlias

    # What the decoders read: an object with a contiguous buffer.
    BytesLike: TypeAlias = bytes | bytearray | memoryview
    # What ``encode_iovec`` gives, ready for ``os.writev``.
    Pieces: TypeAlias = list[bytes | memoryview]

    class DecoderType(Protocol):
        def __init__(self, options: Options) -> None: ...
        def decode(self, data: BytesLike, /) -> Any: ...
        def decode_from(self, data: BytesLike, offset: int = 0, /) -> tuple[Any, int]: ...

    class EncoderType(Protocol):
        def __init__(self, options: Options) -> None: ...
        def encode(self, term: Any, /) -> bytes: ...
        def encode_iovec(self, term: Any, /) -> Pieces: ...


def _choose() -> tuple[Literal["c", "pure"], type[DecoderType], type[EncoderType]]:
    if os.environ.get("DSPEX_ERL_PURE") != "1":
        try:
            from dspex_erl.etf._speedups import Decoder, Encoder
        except ImportError:
            pass
        else:
            return "c", Decoder, Encoder
    from dspex_erl.etf import _pure_decoder, _pure_encoder

    return "pure", _pure_decoder.Decoder, _pure_encoder.Encoder


IMPLEMENTATION, _Decoder, _Encoder = _choose()

_DEFAULTS = Options()
_LARGEST_COMPRESSED = 2**32 - 1


class Codec:
    """Encodes and decodes with fixed options. Safe to share between threads.

    * ``strings``: ``"bytes"`` is ErlPort's mapping, ``"str"`` ours; the table is in the README.
    * ``max_bytes``: the longest input, and the longest output.
    * ``max_depth``: how many containers may be open at once, counting those that are not empty.
    * ``max_elements``: how many elements all containers of one term may have together; a pair of a map counts two.
    * ``max_atoms``: how many different atoms one term may bring.
    * ``max_digits``: the longest integer, in bytes.
    * ``max_inflated``: the largest size that a compressed term may announce.
    * ``view_threshold``: from this size on, binaries arrive as read-only ``memoryview`` slices of the input, which stays in memory
      as long as they do. 0 for never.
    * ``structs``: for the name of a struct's module (``"Elixir.Date"``), what to make of the ``dict`` of its fields.
    * ``encoders``: for a class, what to send for its instances and those of its subclasses. Classes that have a counterpart
      of their own are not looked up.
    * ``allow_pickle``: sends what has no counterpart as a pickle, and unpickles what comes. That lets the peer run any code.
    * ``compressed``: the level of zlib, 0 for none. What does not become smaller is sent as it is.

    Raises ``ValueError`` for an option out of range and ``TypeError`` for an unknown one.

    >>> codec = Codec(strings="str")
    >>> codec.decode(codec.encode({"a": [1, 2.5, None]}))
    {'a': [1, 2.5, None]}
    """

    __slots__ = ("decode", "decode_from", "encode", "encode_iovec", "options")

    options: Options
    decode: Callable[[BytesLike], Any]
    decode_from: Callable[..., tuple[Any, int]]
    encode: Callable[[Any], bytes]
    encode_iovec: Callable[[Any], Pieces]

    def __init__(
        self,
        *,
        strings: Literal["bytes", "str"] = "bytes",
        max_bytes: int = _DEFAULTS.max_bytes,
        max_depth: int = _DEFAULTS.max_depth,
        max_elements: int = _DEFAULTS.max_elements,
        max_atoms: int = _DEFAULTS.max_atoms,
        max_digits: int = _DEFAULTS.max_digits,
        max_inflated: int = _DEFAULTS.max_inflated,
        view_threshold: int = 0,
        structs: Mapping[str, Callable[[dict[Any, Any]], Any]] | None = None,
        encoders: Mapping[type, Callable[[Any], Any]] | None = None,
        allow_pickle: bool = False,
        compressed: int = 0,
    ) -> None:
        self.options = Options(
            strings=strings,
            max_bytes=max_bytes,
            max_depth=max_depth,
            max_elements=max_elements,
            max_atoms=max_atoms,
            max_digits=max_digits,
            max_inflated=max_inflated,
            view_threshold=view_threshold,
            structs=structs,
            encoders=encoders,
            allow_pickle=allow_pickle,
            compressed=compressed,
        )
        decoder = _Decoder(self.options)
        self.decode = decoder.decode
        self.decode_from = decoder.decode_from
        encoder: EncoderType = _Encoder(self.options)
        if compressed:
            encoder = _CompressingEncoder(encoder, compressed)
        self.encode = encoder.encode
        self.encode_iovec = encoder.encode_iovec


class _CompressingEncoder:
    """An encoder's output, behind zlib where that makes it smaller."""

    def __init__(self, encoder: EncoderType, level: int) -> None:
        self._encoder = encoder
        self._level = level

    def encode(self, term: Any, /) -> bytes:
        plain = self._encoder.encode(term)
        size = len(plain) - 1
        if size > _LARGEST_COMPRESSED:
            return plain
        import zlib

        packed = zlib.compress(memoryview(plain)[1:], self._level)
        if len(packed) + 5 >= size:
            return plain
        return b"".join((b"\x83P", size.to_bytes(4, "big"), packed))

    def encode_iovec(self, term: Any, /) -> Pieces:
        return [self.encode(term)]


_default = Codec()


def decode(data: BytesLike, **options: Any) -> Any:
    """The term in ``data``, which is exactly one, version byte included.

    ``options`` are those of :class:`Codec`; keep a codec if there are any and calls are many. Raises :class:`~dspex_erl.errors.DecodeError`
    and its subclasses for bytes that are no term, are not whole, go on after it, or pass a limit; ``TypeError`` for other types.

    >>> decode(b"\\x83l\\0\\0\\0\\1w\\2okj")
    List([Atom(b'ok')])
    """
    return (Codec(**options) if options else _default).decode(data)


def decode_from(data: BytesLike, offset: int = 0, **options: Any) -> tuple[Any, int]:
    """The term that starts at ``offset`` in ``data``, and the offset where it ends.

    Raises as :func:`decode` does, with :class:`~dspex_erl.errors.TruncatedError` when more bytes are needed.

    >>> decode_from(b"\\x83a\\1\\x83a\\2", 3)
    (2, 6)
    """
    return (Codec(**options) if options else _default).decode_from(data, offset)


def encode(term: Any, **options: Any) -> bytes:
    """The external format of ``term``, version byte included.

    ``options`` are those of :class:`Codec`. Raises :class:`~dspex_erl.errors.EncodeError` for a value without a counterpart, and its
    subclass ``EncodeLimitError`` for one beyond a limit.

    >>> encode(("ok", 1), strings="str")
    b'\\x83h\\x02m\\x00\\x00\\x00\\x02oka\\x01'
    """
    return (Codec(**options) if options else _default).encode(term)


def encode_iovec(term: Any, **options: Any) -> Pieces:
    """What :func:`encode` gives, in pieces: binaries of at least ``LARGE_BINARY`` bytes are passed on, not copied.

    >>> large = bytes(100_000)
    >>> pieces = encode_iovec([large])
    >>> len(pieces), pieces[1] is large, b"".join(pieces) == encode([large])
    (3, True, True)
    """
    return (Codec(**options) if options else _default).encode_iovec(term)
