"""What the sdist and the wheels hold, and that one abi3 wheel serves every Python that is supported.

Not named ``test_…``: it builds for a minute, and has an environment of its own, ``tox -e dist``.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
EXTENSION = "dspex_erl/etf/_speedups.abi3.so"
ROUND_TRIP = """
import sys
from dspex_erl import etf
value = {"a": [1, 2.5, None, True, 2**100, {}, "é"], (1, "b"): [[]] * 3, 1: b"\\xff"}
assert etf.decode(etf.encode(value, strings="str"), strings="str") == value
print(etf.IMPLEMENTATION, sys.modules[etf.__name__].__file__)
"""


def tracked_files() -> set[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0")
    return {name for name in names if name and (ROOT / name).exists()}


def copy_of_the_tree(target: Path) -> Path:
    """A build leaves files beside its sources; nothing but what git knows is copied, so nothing else can be packed."""
    for name in tracked_files():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name, follow_symlinks=False)
    return target


def build(source: Path, target: Path, kind: str, environment: Mapping[str, str]) -> Path:
    command = [sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", str(target), str(source)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DSPEX_ERL_")}
    run = subprocess.run(command, env=clean | environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "SetuptoolsDeprecationWarning" not in run.stderr, run.stderr
    (built,) = target.iterdir()
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = copy_of_the_tree(tmp_path_factory.mktemp("tree"))
    return build(source, tmp_path_factory.mktemp("sdist"), "sdist", {})


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(target, filter="data")
    (directory,) = target.iterdir()
    return directory


@pytest.fixture(scope="module")
def c_wheel(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sdist, as an installer would, with the headers of the newest Python: those that could betray the oldest."""
    source = shutil.copytree(unpacked, tmp_path_factory.mktemp("c") / "source", symlinks=True)
    return build(source, tmp_path_factory.mktemp("c-wheel"), "wheel", {"DSPEX_ERL_REQUIRE_C": "1"})


@pytest.fixture(scope="module")
def pure_wheel(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = shutil.copytree(unpacked, tmp_path_factory.mktemp("pure") / "source", symlinks=True)
    return build(source, tmp_path_factory.mktemp("pure-wheel"), "wheel", {"DSPEX_ERL_PURE": "1"})


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def sources_in(root: Path) -> set[str]:
    """What a wheel must hold of the package: its modules, stubs and marker."""
    found = (path.relative_to(root) for path in (root / "dspex_erl").rglob("*"))
    return {path.as_posix() for path in found if path.suffix in (".py", ".pyi") or path.name == "py.typed"}


def test_the_sdist_holds_what_git_does(unpacked: Path) -> None:
    packed = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    made = {"PKG-INFO", *(name for name in packed if name.startswith("dspex_erl.egg-info/"))}
    left_out = {name for name in tracked_files() if name.startswith(".ci/") or name == ".gitignore" or (ROOT / name).is_symlink()}
    assert packed - made == tracked_files() - left_out


def test_the_sdist_holds_nothing_twice(unpacked: Path) -> None:
    packages = [path.parent.relative_to(unpacked).as_posix() for path in unpacked.rglob("py.typed")]
    assert packages == ["dspex_erl"]


def test_the_wheels_hold_the_package_and_no_sources_of_c(c_wheel: Path, pure_wheel: Path, unpacked: Path) -> None:
    assert names_in(pure_wheel) == sources_in(unpacked)
    assert names_in(c_wheel) == sources_in(unpacked) | {EXTENSION}


def test_the_tags_of_the_wheels(c_wheel: Path, pure_wheel: Path) -> None:
    assert "-cp310-abi3-" in c_wheel.name
    assert pure_wheel.name.endswith("-py3-none-any.whl")


def test_the_wheels_carry_the_licence_and_the_readme(c_wheel: Path, pure_wheel: Path) -> None:
    for wheel in (c_wheel, pure_wheel):
        with zipfile.ZipFile(wheel) as archive:
            inside = {PurePosixPath(name).name: name for name in archive.namelist() if ".dist-info/" in name}
            metadata = archive.read(inside["METADATA"]).decode()
        assert "LICENSE" in inside
        assert "License-Expression: Apache-2.0\n" in metadata
        assert (ROOT / "README.md").read_text(encoding="utf-8").strip() in metadata


@pytest.mark.parametrize("version", PYTHONS)
def test_the_sources_work_without_being_built(version: str, unpacked: Path) -> None:
    """The Mix project reaches them through a link, and installs nothing."""
    python = shutil.which(f"python{version}")
    if python is None:
        pytest.skip(f"python{version} is not on the PATH")
    command = [python, "-B", "-s", "-X", "dev", "-W", "error", "-c", ROUND_TRIP]
    run = subprocess.run(command, cwd=unpacked, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["pure", str(unpacked / "dspex_erl" / "etf" / "__init__.py")]


@pytest.mark.parametrize("version", PYTHONS)
@pytest.mark.parametrize("kind", ["c", "pure"])
def test_a_wheel_works(version: str, kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    python = shutil.which(f"python{version}")
    if python is None:
        pytest.skip(f"python{version} is not on the PATH")
    wheel = request.getfixturevalue(f"{kind}_wheel")
    subprocess.run([python, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    inside = tmp_path / "venv" / "bin" / "python"
    run = subprocess.run([inside, "-I", "-X", "dev", "-W", "error", "-c", ROUND_TRIP], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [kind, str(site / "dspex_erl" / "etf" / "__init__.py")]
