"""The examples in the README and in the documentation, run as they stand, and what both say that can be checked.

Examples in Erlang and Elixir run here, those in Python are doctests. A block in Python that begins with the name of a file is that file.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dspex_erl import errors
from dspex_erl.programs.adapters import ADAPTERS
from dspex_erl.programs.field_types import parse_type
from dspex_erl.programs.modules import module_names
from tests.peer import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = Path(__file__).parent / "erlang"
CLIENT = ROOT / "priv" / "elixir"


def examples(language: str) -> list[str]:
    """The blocks of code in ``language``, page by page."""
    fence = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    found = [block for page in PAGES for block in fence.findall(page.read_text(encoding="utf-8"))]
    assert found, f"no example in {language}"
    return found


OVER_ERLPORT = [block for block in examples("elixir") if ":python.start" in block]
TESTS = [block for block in examples("elixir") if "use DSPexErl.Case" in block]
WITH_THE_CLIENT = [block for block in examples("elixir") if "DSPexErl." in block and block not in TESTS]


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment whose ``python3`` is this interpreter and finds the examples' files, and whose Erlang finds ErlPort's stand-in."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    (folder / "python3").chmod(0o755)
    for block in examples("python"):
        name = re.match(r"# (\w+\.py)\n", block)
        if name:
            (folder / name[1]).write_text(block, encoding="utf-8")
    sources = [str(SOURCES / name) for name in ("erlport_peer.erl", "python.erl")]
    subprocess.run(["erlc", "-o", str(folder), *sources], check=True, timeout=PATIENCE)
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", ""), os.getcwd()]))
    return {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "ERL_LIBS": "",
        "PYTHONPATH": path,
        "FOLDER": str(folder),
    }


@pytest.fixture(scope="module")
def client(environ: dict[str, str]) -> dict[str, str]:
    """The same for an application that has the client, compiled where nobody else's is."""
    return {
        **environ,
        "DSPEX_PYTHON": sys.executable,
        "LC_ALL": "C.UTF-8",
        "MIX_BUILD_PATH": environ["FOLDER"] + "/mix",
        "MIX_ENV": "test",
    }


def run(command: list[str], environ: dict[str, str], cwd: Path | None = None) -> str:
    """What the command printed. It must succeed."""
    result = subprocess.run(command, env=environ, cwd=cwd, capture_output=True, text=True, timeout=5 * PATIENCE, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize("block", examples("erlang"))
def test_an_erlang_example(environ: dict[str, str], block: str) -> None:
    expressions = block.rstrip().rstrip(".")
    run(["erl", "-noshell", "-noinput", "-eval", f"{expressions}, halt()."], environ)


@pytest.mark.parametrize("block", OVER_ERLPORT)
def test_an_elixir_example_over_erlport(environ: dict[str, str], block: str) -> None:
    run(["elixir", "-pa", environ["FOLDER"], "-e", block], environ)


@pytest.mark.parametrize("block", WITH_THE_CLIENT)
def test_an_elixir_example_with_the_client(client: dict[str, str], block: str) -> None:
    run(["mix", "run", "-e", block], client, cwd=CLIENT)


@pytest.mark.parametrize("block", TESTS)
def test_an_elixir_example_of_a_test(client: dict[str, str], tmp_path: Path, block: str) -> None:
    (tmp_path / "example_test.exs").write_text(f"ExUnit.start()\n{block}", encoding="utf-8")
    printed = run(["mix", "run", str(tmp_path / "example_test.exs")], client, cwd=CLIENT)
    assert re.search(r"\b[1-9]\d* tests?, 0 failures", printed), printed


def test_every_elixir_example_is_one_of_these() -> None:
    assert sorted(OVER_ERLPORT + WITH_THE_CLIENT + TESTS) == sorted(examples("elixir"))
    assert OVER_ERLPORT
    assert WITH_THE_CLIENT
    assert TESTS


def test_an_example_that_does_not_hold_fails(environ: dict[str, str]) -> None:
    (block,) = [block for block in OVER_ERLPORT if "4.0" in block]
    with pytest.raises(AssertionError):
        run(["elixir", "-pa", environ["FOLDER"], "-e", block.replace("4.0", "5.0")], environ)


# -- what can be checked without running anything --------------------------------------------------------------------------------


def rows(page: Path, heading: str) -> list[list[str]]:
    """The cells of the table under that head row, as they are written."""
    lines = page.read_text(encoding="utf-8").split("\n")
    start = lines.index(heading) + 2
    end = next(number for number in range(start, len(lines)) if not lines[number].startswith("|"))
    # A bar inside a cell is written with a backslash.
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[start:end]]


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_reason_has_its_advice() -> None:
    advised = [reason for row in rows(README, "| `reason` of an error | what to do |") for reason in codes(row[0])]
    classes = [kind for kind in map(errors.__dict__.get, errors.__all__) if isinstance(kind, type)]
    assert sorted(advised) == sorted({kind.reason for kind in classes if issubclass(kind, errors.DspexError)})


def test_the_types_are_what_their_table_says() -> None:
    table = rows(ROOT / "docs" / "sessions.md", "| written | canonical | a value of it |")
    assert table
    for written, canonical, _ in table:
        (wanted,) = codes(canonical)
        assert {parse_type(text).text for text in codes(written)} == {wanted}


def test_every_module_and_adapter_is_described() -> None:
    page = ROOT / "docs" / "sessions.md"
    modules = [name for row in rows(page, "| `module` | what it does | `module_args` |") for name in codes(row[0])]
    assert sorted(modules) == module_names()
    adapters = [name for row in rows(page, "| `adapter` | how a model is asked |") for name in codes(row[0])]
    assert sorted(adapters) == sorted(ADAPTERS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_files_that_a_page_names_are_there(page: Path) -> None:
    named = re.findall(r"`((?:tests|docs|priv)/[\w./-]+)`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []
