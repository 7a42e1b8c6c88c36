"""The tests written in Erlang, one item each: a real BEAM with real ports on one side, our worker on the other."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peer import MODULES, PATIENCE, TIME

SOURCES = Path(__file__).parent / "erlang"


def cases() -> list[tuple[str, str]]:
    """Module and function of every test, as EUnit names them."""
    found = []
    for source in sorted(SOURCES.glob("*_tests.erl")):
        for name in re.findall(r"^(\w+_test)\(\) ->", source.read_text(encoding="utf-8"), re.MULTILINE):
            found.append((source.stem, name))
    return found


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the compiled modules are."""
    target = tmp_path_factory.mktemp("erlang")
    sources = map(str, sorted(SOURCES.glob("*.erl")))
    command = ["erlc", "+debug_info", "-Werror", "-I", str(SOURCES), "-o", str(target), *sources]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return target


@pytest.mark.erlang
@pytest.mark.parametrize(("module", "function"), cases(), ids=[":".join(case) for case in cases()])
def test_erlang(compiled: Path, module: str, function: str) -> None:
    path = os.pathsep.join(filter(None, [str(MODULES), os.environ.get("PYTHONPATH", ""), os.getcwd()]))
    environ = {**os.environ, "DSPEX_TEST_PYTHON": sys.executable, "DSPEX_TEST_TIME": str(TIME), "PYTHONPATH": path}
    run = f"port_case:run({module}, {function})."
    command = ["erl", "-noshell", "-noinput", "+B", "-pa", str(compiled), "-eval", run]
    result = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=5 * PATIENCE, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_erlang_tests_were_found() -> None:
    assert len(cases()) > 80
