"""What an installer and a type checker see of the package."""

import importlib.metadata
import os
import re
from importlib import resources
from pathlib import Path

import pytest

import dspex_erl
from dspex_erl import etf

METADATA = importlib.metadata.metadata("dspex_erl")


def test_one_version_everywhere() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?(\.dev\d+)?", dspex_erl.__version__)
    assert METADATA["Version"] == dspex_erl.__version__


def test_licence() -> None:
    assert METADATA["License-Expression"] == "Apache-2.0"


def test_the_core_depends_on_nothing() -> None:
    needed = importlib.metadata.requires("dspex_erl") or []
    assert [entry for entry in needed if "extra ==" not in entry] == []


def test_oldest_python() -> None:
    assert METADATA["Requires-Python"] == ">=3.10"


def test_type_checkers_are_told() -> None:
    assert resources.files("dspex_erl").joinpath("py.typed").is_file()


def test_the_coder_is_the_one_that_this_environment_is_for() -> None:
    expected = os.environ.get("DSPEX_ERL_TEST_CODER")
    assert expected in (None, etf.IMPLEMENTATION)


@pytest.mark.parametrize("symbol", [b"__asan_init", b"__ubsan_handle_"])
def test_the_sanitizers_are_in_where_they_are_asked_for_and_nowhere_else(symbol: bytes) -> None:
    sanitized = os.environ.get("DSPEX_ERL_TEST_SANITIZED") == "1"
    extensions = list(Path(etf.__file__).parent.glob("_speedups*.so"))
    assert [symbol in path.read_bytes() for path in extensions] == [sanitized] * len(extensions)
    assert extensions or not sanitized
