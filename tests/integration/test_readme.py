"""The README's examples in Erlang and Elixir, run as they stand. Its Python examples are doctests."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peer import PATIENCE

README = Path(__file__).resolve().parents[2] / "README.md"
SOURCES = Path(__file__).parent / "erlang"


def example(language: str) -> str:
    """The README's first block of code in ``language``."""
    found = re.search(rf"^```{language}\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None, f"no example in {language}"
    return found[1]


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment whose ``python3`` is this interpreter, and whose Erlang finds the peer that speaks ErlPort's protocol."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    (folder / "python3").chmod(0o755)
    sources = [str(SOURCES / name) for name in ("erlport_peer.erl", "python.erl")]
    subprocess.run(["erlc", "-o", str(folder), *sources], check=True, timeout=PATIENCE)
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH", ""), os.getcwd()]))
    return {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "ERL_LIBS": "",
        "PYTHONPATH": path,
        "FOLDER": str(folder),
    }


def run(command: list[str], environ: dict[str, str]) -> None:
    result = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=5 * PATIENCE, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_erlang_example(environ: dict[str, str]) -> None:
    expressions = example("erlang").rstrip().rstrip(".")
    run(["erl", "-noshell", "-noinput", "-eval", f"{expressions}, halt()."], environ)


def test_the_elixir_example(environ: dict[str, str]) -> None:
    run(["elixir", "-pa", environ["FOLDER"], "-e", example("elixir")], environ)


def test_an_example_that_does_not_hold_fails(environ: dict[str, str]) -> None:
    with pytest.raises(AssertionError):
        run(["elixir", "-pa", environ["FOLDER"], "-e", example("elixir").replace("4.0", "5.0")], environ)
