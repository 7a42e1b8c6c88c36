"""What must hold for any bytes: a term or an error of the documented family, the same from every coder."""

from __future__ import annotations

from typing import Any

from dspex_erl.errors import CodecError, DecodeError, EncodeError
from dspex_erl.etf._options import Options
from tests.coders import NAMES
from tests.coders import coder as coder_named

OPTION_SETS: list[dict[str, Any]] = [
    {"strings": "bytes"},
    {"strings": "str"},
    {"strings": "str", "view_threshold": 2},
    {"strings": "bytes", "max_depth": 3, "max_elements": 40, "max_atoms": 3, "max_digits": 4, "max_inflated": 50},
    {"strings": "str", "max_depth": 1, "max_elements": 6, "max_atoms": 1, "max_digits": 1, "max_bytes": 40},
    {"strings": "str", "structs": {"S": lambda fields: ("struct", len(fields)), "a": lambda fields: {}[0]}},
    {"strings": "bytes", "structs": {"S": lambda fields: [], "ok": lambda fields: fields}},
]
"""Small limits are there to be met, hooks to be called: one that raises, one whose result cannot be a key."""

CODERS = [coder_named(name) for name in NAMES]


def plain(term: Any, depth: int = 0) -> Any:
    """Something whose ``==`` is strict: types and all."""
    kind = type(term).__name__
    if isinstance(term, memoryview):
        return kind, bytes(term)
    if depth > 150:
        return kind
    if isinstance(term, dict):
        return kind, [(plain(key, depth + 1), plain(value, depth + 1)) for key, value in term.items()]
    if isinstance(term, (list, tuple)):
        return kind, [plain(item, depth + 1) for item in term], plain(getattr(term, "tail", None), depth + 1)
    return kind, term.hex() if kind == "float" else repr(term)[:500] if kind == "ExactKey" else term


def outcome(call: Any, *args: Any) -> Any:
    """The result, or what an error says apart from its words. Anything but the documented family passes, and so fails the run."""
    try:
        return call(*args)
    except CodecError as error:
        assert isinstance(error, (DecodeError, EncodeError)), type(error)
        assert str(error)
        return (
            type(error),
            error.path,
            getattr(error, "offset", None),
            getattr(error, "limit", None),
            getattr(error, "maximum", None),
        )


def check(data: bytes, options: dict[str, Any]) -> None:
    """Fails unless all coders make the same of ``data``, and the term, if it is one, survives being sent back."""
    made = Options(**options)
    first: Any = None
    for coder in CODERS:
        decoder, encoder = coder.decoder_class(made), coder.encoder_class(Options(strings=options["strings"]))
        results: list[Any] = []
        for source in (data, bytearray(data)):
            found = outcome(decoder.decode_from, source)
            results.append(plain(found))
            whole = outcome(decoder.decode, source)
            results.append(plain(whole))
            if type(whole) is not tuple or not whole or not isinstance(whole[0], type):
                results.append(outcome(encoder.encode, whole))
        if first is None:
            first = results
        assert results == first, f"{coder.name} differs from {CODERS[0].name}: {data.hex()} {options['strings']}"


def check_all(data: bytes) -> None:
    """:func:`check` with every set of options."""
    for options in OPTION_SETS:
        check(data, options)
