"""The plugin that keeps a lane of CI from passing by testing nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Not resolved: where `tests` is reached through a link, that is where it can be imported from.
IMPORTABLE_FROM = Path(__file__).parents[2]

SKIPS = "import pytest\n@pytest.mark.skip(reason='no server')\ndef test_a(): pass\n"
SKIPS_AS_A_MODULE = "import pytest\npytest.skip('no compiler', allow_module_level=True)\n"
FAILS_AS_EXPECTED = "import pytest\n@pytest.mark.xfail\ndef test_a(): assert False\n"
PASSES = "def test_a(): pass\n"


def run(directory: Path, source: str, ci: str) -> subprocess.CompletedProcess[str]:
    (directory / "test_it.py").write_text(source)
    (directory / "test_more.py").write_text(PASSES)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests._no_skips", "-p", "no:cacheprovider"],
        cwd=directory,
        env=os.environ | {"CI": ci, "PYTHONPATH": str(IMPORTABLE_FROM), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("source", "reason"), [(SKIPS, "no server"), (SKIPS_AS_A_MODULE, "no compiler")])
def test_a_skip_fails_in_ci_and_says_why(tmp_path: Path, source: str, reason: str) -> None:
    result = run(tmp_path, source, ci="true")
    assert result.returncode == 1
    assert f"test_it.py::test_a: {reason}" in result.stdout or f"test_it.py: {reason}" in result.stdout


@pytest.mark.parametrize("ci", ["", "0", "false"])
def test_a_skip_passes_elsewhere(tmp_path: Path, ci: str) -> None:
    assert run(tmp_path, SKIPS, ci).returncode == 0


@pytest.mark.parametrize("source", [PASSES, FAILS_AS_EXPECTED])
def test_what_is_not_a_skip_passes_in_ci(tmp_path: Path, source: str) -> None:
    assert run(tmp_path, source, ci="true").returncode == 0
