"""The implementations of the codec that this run tests, each behind the same few calls."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dspex_erl.etf import _pure_decoder, _pure_encoder
from dspex_erl.etf._options import Options

NAMES = ["pure"]
REQUIRED = os.environ.get("DSPEX_ERL_REQUIRE_C") == "1" or os.environ.get("DSPEX_ERL_TEST_CODER") == "c"

try:
    from dspex_erl.etf import _speedups

    _speedups.Decoder  # noqa: B018  # a directory of C sources is importable too
except (ImportError, AttributeError):
    _speedups = None  # type: ignore[assignment]

if _speedups is not None or REQUIRED:
    NAMES.insert(0, "c")


@dataclass(frozen=True)
class Coder:
    """One implementation, ``c`` or ``pure``."""

    name: str
    decoder_class: Any
    encoder_class: Any

    def decode(self, data: Any, **options: Any) -> Any:
        return self.decoder_class(Options(**options)).decode(data)

    def decode_from(self, data: Any, offset: Any = 0, **options: Any) -> tuple[Any, int]:
        return self.decoder_class(Options(**options)).decode_from(data, offset)

    def encode(self, term: Any, **options: Any) -> bytes:
        encoder = self.encoder_class(Options(**options))
        encoded = encoder.encode(term)
        assert type(encoded) is bytes
        return encoded

    def encode_iovec(self, term: Any, **options: Any) -> list[Any]:
        return self.encoder_class(Options(**options)).encode_iovec(term)


def coder(name: str) -> Coder:
    """The implementation of that name. Fails if it is ``c``, must be there, and is not."""
    if name == "pure":
        return Coder(name, _pure_decoder.Decoder, _pure_encoder.Encoder)
    assert _speedups is not None, "the C coder must be tested here, and was not built"
    return Coder(name, _speedups.Decoder, _speedups.Encoder)


@contextmanager
def raising(kind: type[BaseException], **fields: Any) -> Iterator[None]:
    """Expects exactly ``kind``, no subclass of it, with these attributes."""
    try:
        yield
    except kind as error:
        assert type(error) is kind, f"{type(error).__name__} instead of {kind.__name__}: {error}"
        found = {name: getattr(error, name) for name in fields}
        assert found == fields, f"{error}: {found} instead of {fields}"
        error.__traceback__ = None
    else:
        raise AssertionError(f"no {kind.__name__} was raised")
