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


CLIENT = README.parent / "priv" / "elixir"


def examples(language: str) -> list[str]:
    """The README's blocks of code in ``language``."""
    found = re.findall(rf"^```{language}\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found, f"no example in {language}"
    return found


OVER_ERLPORT = [block for block in examples("elixir") if ":python.start" in block]
WITH_THE_CLIENT = [block for block in examples("elixir") if "DSPexErl." in block]


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


def run(command: list[str], environ: dict[str, str], cwd: Path | None = None) -> None:
    result = subprocess.run(command, env=environ, cwd=cwd, capture_output=True, text=True, timeout=5 * PATIENCE, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("block", examples("erlang"))
def test_an_erlang_example(environ: dict[str, str], block: str) -> None:
    expressions = block.rstrip().rstrip(".")
    run(["erl", "-noshell", "-noinput", "-eval", f"{expressions}, halt()."], environ)


@pytest.mark.parametrize("block", OVER_ERLPORT)
def test_an_elixir_example_over_erlport(environ: dict[str, str], block: str) -> None:
    run(["elixir", "-pa", environ["FOLDER"], "-e", block], environ)


@pytest.mark.parametrize("block", WITH_THE_CLIENT)
def test_an_elixir_example_with_the_client(environ: dict[str, str], block: str) -> None:
    builds = {"MIX_ENV": "test", "MIX_BUILD_PATH": environ["FOLDER"] + "/mix", "LC_ALL": "C.UTF-8", "DSPEX_PYTHON": sys.executable}
    run(["mix", "run", "-e", block], {**environ, **builds}, cwd=CLIENT)


def test_every_elixir_example_is_one_of_these() -> None:
    assert sorted(OVER_ERLPORT + WITH_THE_CLIENT) == sorted(examples("elixir"))
    assert OVER_ERLPORT
    assert WITH_THE_CLIENT


def test_an_example_that_does_not_hold_fails(environ: dict[str, str]) -> None:
    with pytest.raises(AssertionError):
        run(["elixir", "-pa", environ["FOLDER"], "-e", OVER_ERLPORT[0].replace("4.0", "5.0")], environ)
