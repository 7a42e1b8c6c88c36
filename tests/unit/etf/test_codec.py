"""The codec that users see, and the choice of the coder behind it."""

from __future__ import annotations

import builtins
import importlib.util
import os
import subprocess
import sys
import types
from typing import Any

import pytest

from dspex_erl import etf
from dspex_erl.errors import DecodeLimitError, EncodeLimitError
from dspex_erl.etf import Codec, _codec, _pure_decoder, _pure_encoder
from dspex_erl.etf._options import Options
from tests.coders import Coder, raising


def test_exports() -> None:
    assert etf.__all__ == ["IMPLEMENTATION", "LARGE_BINARY", "Codec", "decode", "decode_from", "encode", "encode_iovec"]
    assert all(hasattr(etf, name) for name in etf.__all__)
    assert etf.IMPLEMENTATION in ("c", "pure")


class TestCodec:
    def test_calls_go_straight_to_the_coder(self) -> None:
        codec = Codec(strings="str")
        decoder, encoder = codec.decode.__self__, codec.encode.__self__  # type: ignore[attr-defined]
        assert codec.decode_from.__self__ is decoder  # type: ignore[attr-defined]
        assert codec.encode_iovec.__self__ is encoder  # type: ignore[attr-defined]
        assert type(decoder).__module__ == type(encoder).__module__.replace("encoder", "decoder")
        assert codec.decode(codec.encode({"a": [1, 2.5, None]})) == {"a": [1, 2.5, None]}
        assert b"".join(codec.encode_iovec("x")) == codec.encode("x")
        assert codec.decode_from(codec.encode(5) + b"#") == (5, 3)

    def test_options(self) -> None:
        codec = Codec(max_depth=5, structs={"A": dict}, encoders={complex: repr})
        assert codec.options.max_depth == 5
        assert codec.options.max_bytes == Options().max_bytes
        assert set(codec.options.structs) == {"A"}
        with raising(EncodeLimitError, limit="max_depth"):
            codec.encode([[[[[[b""]]]]]])
        with pytest.raises(ValueError, match="max_depth"):
            Codec(max_depth=-1)
        with pytest.raises(TypeError):
            Codec(max_dept=1)  # type: ignore[call-arg]

    def test_has_no_other_attributes(self) -> None:
        with pytest.raises(AttributeError):
            Codec().other = 1  # type: ignore[attr-defined]


class TestCompressed:
    TEXT = b"again and again " * 100

    def test_what_becomes_smaller(self) -> None:
        codec = Codec(compressed=9)
        encoded = codec.encode(self.TEXT)
        assert encoded[:6] == b"\x83P" + (1605).to_bytes(4, "big")
        assert len(encoded) < 100
        assert codec.encode_iovec(self.TEXT) == [encoded]
        assert etf.decode(encoded) == self.TEXT

    def test_what_does_not(self) -> None:
        for value in (5, b"", bytes(range(256))):
            assert Codec(compressed=1).encode(value) == etf.encode(value)

    def test_what_is_too_large_for_the_format(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_codec, "_LARGEST_COMPRESSED", 1604)
        assert Codec(compressed=9).encode(self.TEXT) == etf.encode(self.TEXT)

    def test_the_limit_is_that_of_the_term(self) -> None:
        with raising(EncodeLimitError, limit="max_bytes"):
            Codec(compressed=9, max_bytes=1000).encode(self.TEXT)

    def test_both_coders_read_it(self, coder: Coder) -> None:
        assert coder.decode(Codec(compressed=6).encode([self.TEXT] * 3)) == [self.TEXT] * 3


class TestFunctions:
    def test_without_options(self) -> None:
        assert etf.decode(etf.encode([1, b"a"])) == [1, b"a"]
        assert etf.decode_from(b"#" + etf.encode(5), 1) == (5, 4)
        assert b"".join(etf.encode_iovec(5)) == etf.encode(5)

    def test_with_options(self) -> None:
        assert etf.decode(etf.encode("é", strings="str"), strings="str") == "é"
        assert etf.decode_from(etf.encode("é", strings="str"), 0, strings="str")[0] == "é"
        assert b"".join(etf.encode_iovec("é", strings="str")) == etf.encode("é", strings="str")
        with raising(DecodeLimitError, limit="max_bytes"):
            etf.decode(b"\x83a\1", max_bytes=2)


def fresh_codec(monkeypatch: pytest.MonkeyPatch, speedups: Any) -> types.ModuleType:
    """``_codec`` once more, as if ``_speedups`` were that module, or could not be imported."""
    real_import = builtins.__import__

    def importing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "dspex_erl.etf._speedups":
            if speedups is None:
                raise ImportError(name)
            return speedups
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", importing)
    spec = importlib.util.spec_from_file_location("fresh_codec", _codec.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestImplementation:
    FAKE = types.SimpleNamespace(Decoder=_pure_decoder.Decoder, Encoder=_pure_encoder.Encoder)

    def test_c_where_it_was_built(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DSPEX_ERL_PURE", raising=False)
        assert fresh_codec(monkeypatch, self.FAKE).IMPLEMENTATION == "c"

    def test_pure_where_it_was_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DSPEX_ERL_PURE", raising=False)
        module = fresh_codec(monkeypatch, None)
        assert (module.IMPLEMENTATION, module._Decoder) == ("pure", _pure_decoder.Decoder)

    def test_pure_where_it_is_wanted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DSPEX_ERL_PURE", "1")
        assert fresh_codec(monkeypatch, self.FAKE).IMPLEMENTATION == "pure"
        monkeypatch.setenv("DSPEX_ERL_PURE", "0")
        assert fresh_codec(monkeypatch, self.FAKE).IMPLEMENTATION == "c"

    def test_in_a_process_of_its_own(self, coder: Coder) -> None:
        code = "import sys; sys.path[:0] = sys.argv[1:]; from dspex_erl import etf; print(etf.IMPLEMENTATION)"
        environment = {**os.environ, "DSPEX_ERL_PURE": "1" if coder.name == "pure" else "0"}
        done = subprocess.run([sys.executable, "-c", code, *sys.path], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == coder.name
